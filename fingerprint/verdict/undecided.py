"""Undecided: why neither descent nor independence can be claimed, and the way out."""

from __future__ import annotations

from fingerprint.evidence.calibration import EARLY, LEAST_MARGIN
from fingerprint.verdict.case import Case
from fingerprint.verdict.tested import Tested, least_p_value

__all__ = ["undecided"]


def undecided(case: Case) -> str:
    """Says why a case that no test decides is not decided: the first cause that there is."""
    return (
        _without_probes(case)
        or _without_margin(case.lowest)
        or _too_few(case)
        or _too_late(case.lowest)
        or f"{_ratio(case.lowest)} is too close to the margin {case.lowest.margin.value:.2g}; "
        "register with more probes"
    )


def _without_probes(case: Case) -> str:
    lowest = case.lowest
    if not lowest.resembles:
        return ""
    return (
        f"it was registered by its answers alone; a resemblance of {lowest.ratio:.3g} "
        f"shows no descent (margin {lowest.margin.value:.2g}), and a low one no independence"
    )


def _without_margin(lowest: Tested) -> str:
    margin = lowest.margin
    if margin.usable:
        return ""
    says_nothing = f"the harm ratio {lowest.ratio:.3g} tells nothing of descent"
    if margin.source == "linearity":
        return (
            f"{says_nothing}: the source is "
            "nearly linear in its input, and whoever learned the same task ignores the same"
        )
    if margin.source == "relatives":
        return f"{says_nothing}: its individual probes hardly move the relatives they should"
    fell = "registered models that count as independent of it"
    way_out = "; if they are kin, declare it with --parent"
    if margin.source == "surrogates":
        fell, way_out = "independent stand-ins made at registration", ""
    return (
        f"{says_nothing}: {fell} fall to "
        f"{margin.value:.2g}, below the least usable margin {LEAST_MARGIN:.2g}{way_out}"
    )


def _too_few(case: Case) -> str:
    least = least_p_value(case.tests, case.family)
    if least <= case.alpha:
        return ""
    return (
        f"nothing can be decided with so few probes: over {case.family} compatible models "
        f"they give no p-value below {least:.2g}, and {case.alpha:.2g} is asked; register "
        "with more probes"
    )


def _too_late(lowest: Tested) -> str:
    if lowest.bounds or lowest.low < lowest.margin.value:
        return ""
    shown = f"{_ratio(lowest)} shows no descent"
    if lowest.finding.detail.get("share", 1.0) <= EARLY:
        return f"{shown}; probes that move even the source so much say nothing of independence"
    return f"{shown}; probes so late say nothing of independence, and there are no earlier ones"


def _ratio(lowest: Tested) -> str:
    return f"the harm ratio {lowest.ratio:.3g} (interval {lowest.low:.3g} to {lowest.high:.3g})"
