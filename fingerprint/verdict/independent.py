"""Independent: every kind of probe lies above its bound, and nothing speaks against it.

What speaks against it: probes too near the margin, answers too coarse to have shown the source,
answers that are missing, and a panel arranged as the source arranges it.
"""

from __future__ import annotations

from fingerprint.evidence.finding import Finding
from fingerprint.evidence.harm_ratio import HarmRatio
from fingerprint.verdict.case import Case, Ruling
from fingerprint.verdict.tested import Tested
from fingerprint.verdict.undecided import undecided

__all__ = ["independence", "shows_independence"]

_LEAST_POWER = 0.5
"""Share of the bound that the source itself must be able to fall below, for a ratio above it to
say that a suspect is not derived from it."""
_LEAST_ANSWERED = 0.75
"""Share of each kind of probe that must have been answered for anybody to be independent."""


def independence(case: Case) -> Ruling:
    """Whether nothing that rejects means independence."""
    doubt = _too_near(case) or _too_coarse(case) or _unanswered(case) or _alike(case)
    if doubt:
        return Ruling("inconclusive", doubt)
    lowest = case.lowest
    return Ruling(
        "independent",
        "perturbations solved for the source change its answers about as much as the "
        f"same turned (ratio {lowest.ratio:.3g}, at least {lowest.low:.3g})",
    )


def shows_independence(test: Tested) -> bool:
    """Whether one kind of probe has the power to show independence, and does."""
    above = test.bounds and _above_bound(test)
    return above and not _coarse(test) and _mostly_answered(test.finding)


def _too_near(case: Case) -> str:
    """Why probes show no independence; empty where all that could do lie above their bounds."""
    if case.bounded and all(map(_above_bound, case.bounded)):
        return ""
    return undecided(case)


def _too_coarse(case: Case) -> str:
    """Whether the answers would hide the source itself; empty if not."""
    lowest = case.lowest
    if not _coarse(lowest):
        return ""
    return (
        "the answers are too coarse: even the source would show a harm ratio of "
        f"{lowest.least:.2g}; ask for more decimals"
    )


def _unanswered(case: Case) -> str:
    """Which answers are missing for anybody to be independent; empty if enough are there."""
    harms = (one for one in case.findings if one.test == HarmRatio.name)
    sparse = next((one for one in harms if not _mostly_answered(one)), None)
    if sparse is None:
        return ""
    answered, probes = sparse.detail["answered"], sparse.detail["probes"]
    return f"{probes - answered} of {probes} answers are missing ({sparse.depth} probes)"


def _alike(case: Case) -> str:
    """What the panel says against independence; empty if nothing.

    Noise that an endpoint adds to each answer, the same each time, buries the small harm of
    probes and turns alike; the large differences between the panel's inputs stay.
    """
    panel = case.resemblance
    if panel is None or panel.statistic is None or panel.margin is None:
        return ""
    # A margin is raised to accuse nobody falsely; to excuse somebody, it need not be.
    stranger = float(panel.detail.get("default_margin", panel.margin.value))
    if panel.statistic <= min(stranger, panel.margin.value):
        return ""
    return (
        "its answers to the probes are those of an independent model, but it arranges the "
        f"panel as the source does (resemblance {panel.statistic:.3g}; an independent model "
        f"stays below {stranger:.2g}): is noise added to its answers?"
    )


def _above_bound(test: Tested) -> bool:
    return test.low >= test.margin.bound


def _coarse(test: Tested) -> bool:
    """Whether even the source would hardly fall below the bound, in such answers."""
    return test.least > _LEAST_POWER * test.margin.bound


def _mostly_answered(finding: Finding) -> bool:
    answered, probes = finding.detail.get("answered", 0), finding.detail.get("probes", 0)
    return bool(answered >= _LEAST_ANSWERED * probes)
