"""What is reported of one candidate: the ruling, the test it quotes, and what each finding gave."""

from __future__ import annotations

from dataclasses import replace

from fingerprint.evidence.equality import Equality
from fingerprint.evidence.finding import Finding
from fingerprint.verdict.case import Case
from fingerprint.verdict.independent import shows_independence
from fingerprint.verdict.rules import decided
from fingerprint.verdict.tested import Tested
from fingerprint.verification import Candidate, Verdict

__all__ = ["judged"]


def judged(case: Case) -> Candidate:
    """Decides a case, and reports it with the numbers that it rests on."""
    ruling = decided(case)
    quoted = _quoted(case, ruling.verdict)
    finding = quoted.finding if quoted else None
    margin = finding.margin if finding else None
    alike = quoted is not None and quoted.resembles
    statistic, interval = (finding.statistic, finding.interval) if finding else (None, None)
    return Candidate(
        name=case.name,
        verdict=ruling.verdict,
        relation=ruling.relation,
        reason=ruling.reason,
        harm_ratio=None if alike else statistic,
        harm_ratio_ci=None if alike else interval,
        resemblance=statistic if alike else None,
        resemblance_ci=interval if alike else None,
        p_value=quoted.p_value if quoted else None,
        margin=margin.value if margin else None,
        margin_source=margin.source if margin else None,
        margin_pairs=margin.pairs if margin else 0,
        margin_floor=margin.floor if margin else 1.0,
        answer_kind=case.answer_kind,
        label_agreement=case.equality.detail["label_agreement"] if case.equality else None,
        identical_weights=case.identical,
        reference=case.reference,
        findings=tuple(_with_part(case, one, ruling.verdict) for one in case.findings),
    )


def _quoted(case: Case, verdict: Verdict) -> Tested | None:
    """The test the report quotes: the one that claims, or the lowest interval."""
    if case.missing:
        return None
    if verdict in ("same", "derived"):
        # Equal answers and the panel may say *same* where probes are too few to claim alone.
        return case.rejecting[0] if case.rejecting else None
    return case.lowest


def _with_part(case: Case, finding: Finding, verdict: Verdict) -> Finding:
    """Says what the verdict takes from a finding."""
    if finding.test == Equality.name:
        return replace(finding, decides="kin") if verdict == "same" else finding
    if finding is case.copied and verdict == "derived":
        return replace(finding, decides="kin")
    test = next((one for one in case.tests if one.finding is finding), None)
    if test is None or case.missing:
        return finding
    if test.rejects(case.alpha) and (test.margin.usable or verdict == "same"):
        return replace(finding, decides="kin")
    return replace(finding, decides="independent") if shows_independence(test) else finding
