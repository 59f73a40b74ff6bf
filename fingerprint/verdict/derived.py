"""Derived: a test rejects, and no relative of the candidate explains the answers as well.

Or the answers are those of a copy that a usual tool makes of the candidate.
"""

from __future__ import annotations

from fingerprint.text import clean, listed
from fingerprint.verdict.case import Case, Ruling

__all__ = ["descent", "usual_copy"]


def usual_copy(case: Case) -> Ruling | None:
    """What answers show that equal those of a usual copy; None where they equal none."""
    found = case.copied
    if found is None:
        return None
    within = f"within {found.detail['tolerance']:.1g} of their size"
    return Ruling(
        "derived",
        f"its answers to {found.used} inputs of the panel equal those of {clean(case.name)}, "
        f"{clean(found.detail['copy'])}, {within}",
        "descends",
    )


def descent(case: Case) -> Ruling | None:
    """What tests that reject show; None where none does that may claim."""
    if not case.claims:
        return None
    best = case.claims[0]
    # Fingerprints of earlier releases do not say for whom their probes speak.
    spoken = any(test.finding.speaks_for is not None for test in case.tests)
    if spoken and case.relatives and not best.individual:
        return Ruling("inconclusive", _only_family(case))
    if not best.resembles:
        return _derived(
            case,
            "perturbations solved for the source change its answers "
            f"{best.ratio:.3g} times as much as the same turned; an independent model "
            f"stays above {best.margin.value:.2g}",
        )
    rival, nearer = case.rival
    if nearer is not None and nearer.low <= 0:
        return Ruling(
            "inconclusive",
            f"it shares an origin with {clean(case.name)}, but its relative {clean(rival)} "
            "explains the panel's answers as well (resemblance less that of "
            f"{clean(rival)} {nearer.value:.2g}, interval {nearer.low:.2g} to "
            f"{nearer.high:.2g}), and no individual probes tell them apart",
        )
    return _derived(
        case,
        "it arranges its answers to the panel as the source does (resemblance "
        f"{best.ratio:.3g}; an independent model stays below {best.margin.value:.2g})",
    )


def _derived(case: Case, reason: str) -> Ruling:
    """Which way descent runs is known of what individual probes show, or has no parent."""
    if case.from_scratch or case.claims[0].individual:
        return Ruling("derived", reason, "descends")
    return Ruling(
        "derived", f"{reason}; one descends from the other, or both from a third", "shares_origin"
    )


def _only_family(case: Case) -> str:
    """Why kinship alone is no claim where relatives are registered."""
    who = listed(sorted(case.relatives), shown=3)
    shared = f"it shares an origin with {clean(case.name)} and its relatives ({who})"
    rival, nearer = case.rival
    if nearer is not None and nearer.high < 0:
        shared += (
            f", and is nearer to {clean(rival)} on the panel (by {-nearer.value:.2g}, interval "
            f"{-nearer.high:.2g} to {-nearer.low:.2g})"
        )
    own = next((test for test in case.tests if test.individual), None)
    if own is None:
        return (
            f"{shared}; no individual probes tell them apart; renew it: 'fp register --again "
            f"{clean(case.name)}'"
        )
    return (
        f"{shared}; the probes that speak for {clean(case.name)} alone do not show descent "
        f"(ratio {own.ratio:.3g}, a sibling stays above {own.margin.value:.2g})"
    )
