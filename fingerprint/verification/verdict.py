"""From evidence to a verdict, in one place.

*same*: the suspect's answers equal the recorded ones within the precision they were given in.
*derived*: a test rejects at α and its interval lies under the margin, if that margin is usable:
where models known to be independent fall as low as copies do, no ratio tells them apart.
*independent*: every interval lies above the default margin. That bound does not depend on the
candidate's own margin: what lowers that may turn a *derived* into an *inconclusive*, never into
an *independent*. Nor are answers that would hide what the source moves by.
*inconclusive*: anything else. No evidence is never a match and never a pass.
"""

from __future__ import annotations

from fingerprint.probes.probe import Fingerprint
from fingerprint.verification.calibration import LEAST_MARGIN, Margin
from fingerprint.verification.evidence import Evidence, KindTest
from fingerprint.verification.verification import Candidate, Verdict

__all__ = ["judge"]

_LEAST_POWER = 0.5
"""Share of the margin that the source itself must be able to fall below, for a ratio above the
margin to say that a suspect is not derived from it."""


def judge(
    name: str,
    fingerprint: Fingerprint,
    evidence: Evidence,
    *,
    margin: Margin,
    alpha: float,
    answer_kind: str,
    repeatable: bool,
) -> Candidate:
    """Decides about one candidate and says why in one sentence.

    Args:
        name: The candidate.
        fingerprint: Its fingerprint.
        evidence: What was measured.
        margin: m₀ and its source.
        alpha: Significance level of the test.
        answer_kind: What the suspect's answers are.
        repeatable: Whether repeated inputs got equal answers.
    """
    verdict, reason = _decide(fingerprint, evidence, margin, alpha, repeatable)
    deciding = _deciding(evidence, verdict)
    estimate = deciding.estimate if deciding else None
    return Candidate(
        name=name,
        verdict=verdict,
        reason=reason,
        harm_ratio=estimate.ratio if estimate else None,
        harm_ratio_ci=(estimate.low, estimate.high) if estimate else None,
        p_value=deciding.p_value if deciding else None,
        margin=margin.value,
        margin_source=margin.source,
        margin_pairs=margin.pairs,
        margin_floor=margin.floor,
        probes_used=evidence.probes_used,
        answer_kind=answer_kind,
        label_agreement=evidence.label_agreement,
        per_probe=evidence.per_probe,
    )


def _decide(
    fingerprint: Fingerprint, evidence: Evidence, margin: Margin, alpha: float, repeatable: bool
) -> tuple[Verdict, str]:
    if evidence.missing:
        return "inconclusive", f"no evidence: {evidence.missing}"
    if not repeatable:
        return "inconclusive", "no evidence: the same input got different answers"
    rejecting = [test for test in evidence.tests if _rejects(test, margin.tested, alpha)]
    if (
        rejecting
        and evidence.deviation is not None
        and (evidence.deviation <= fingerprint.tolerance)
    ):
        return "same", (
            f"its answers to all {len(fingerprint.probes)} probes equal the recorded ones "
            f"within {fingerprint.tolerance:.1g} of their size"
        )
    if rejecting and margin.usable:
        test = rejecting[0]
        return "derived", (
            f"perturbations solved for the source change its answers {test.estimate.ratio:.3g} "
            "times as much as the same turned; an independent model stays above "
            f"{margin.value:.2g}"
        )
    lowest = min(evidence.tests, key=lambda test: test.estimate.low)
    if lowest.estimate.low >= margin.lower and lowest.least > _LEAST_POWER * margin.lower:
        return "inconclusive", (
            f"the answers are too coarse: even the source would show a harm ratio of "
            f"{lowest.least:.2g}; ask for more decimals"
        )
    if lowest.estimate.low >= margin.lower:
        return "independent", (
            "perturbations solved for the source change its answers about as much as the same "
            f"turned (ratio {lowest.estimate.ratio:.3g}, at least {lowest.estimate.low:.3g})"
        )
    if not margin.usable:
        return "inconclusive", _unusable(lowest, margin)
    return "inconclusive", (
        f"the harm ratio {lowest.estimate.ratio:.3g} (interval {lowest.estimate.low:.3g} to "
        f"{lowest.estimate.high:.3g}) is too close to the margin {margin.value:.2g}; "
        "register with more probes"
    )


def _unusable(test: KindTest, margin: Margin) -> str:
    fell = "registered models that count as independent of it"
    way_out = "; if they are kin, declare it with --parent"
    if margin.source == "decoys":
        fell, way_out = "independent stand-ins made at registration", ""
    return (
        f"the harm ratio {test.estimate.ratio:.3g} tells nothing of descent: {fell} fall to "
        f"{margin.value:.2g}, below the least usable margin {LEAST_MARGIN:.2g}{way_out}"
    )


def _rejects(test: KindTest, margin: float, alpha: float) -> bool:
    if test.p_value > alpha:
        return False
    # Label-only answers have no interval; their exact test decides alone.
    return test.estimate.high < margin or test.estimate.high == float("inf")


def _deciding(evidence: Evidence, verdict: Verdict) -> KindTest | None:
    """The test the report quotes: the most significant one, or the lowest interval."""
    if not evidence.tests:
        return None
    if verdict in ("same", "derived"):
        return evidence.tests[0]
    return min(evidence.tests, key=lambda test: test.estimate.low)
