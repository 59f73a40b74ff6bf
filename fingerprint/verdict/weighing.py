"""Findings in, candidates out: each is judged by itself, and then beside the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from fingerprint.evidence.finding import Finding
from fingerprint.evidence.resemblance import Alignment, Resemblance
from fingerprint.kinship import Kinship
from fingerprint.verdict.candidate import judged
from fingerprint.verdict.case import Case
from fingerprint.verdict.ranking import ranked
from fingerprint.verdict.tested import corrected
from fingerprint.verification import Candidate

__all__ = ["weigh"]

_NOTHING_KNOWN = Kinship()


def weigh(
    findings: Mapping[str, Sequence[Finding]],
    *,
    family: int,
    alpha: float,
    answer_kind: str = "logits",
    trouble: str = "",
    kinship: Kinship = _NOTHING_KNOWN,
    flags: Mapping[str, str] | None = None,
    identical: Collection[str] = (),
    nearer: Callable[[str, str], Alignment | None] = lambda name, other: None,
) -> tuple[Candidate, ...]:
    """Turns findings into verdicts.

    Args:
        findings: By candidate, what each test measured.
        family: How many compatible models there are, asked or not.
        alpha: Accepted rate of false claims over all of them.
        answer_kind: What the answers are.
        trouble: Why the answers as a whole are no evidence; empty if they may be.
        kinship: What is declared of the models.
        flags: By candidate, how the suspect would have to be fed to resemble it.
        identical: Candidates whose weights the suspect declares to have.
        nearer: By how much the suspect is nearer to one candidate than to another on the panel;
            None where that is not known.

    Returns:
        The candidates, best first.
    """
    tested = corrected(findings, family)
    alike = _most_alike(findings)
    relatives = {name: kinship.relatives(name) for name in findings}
    cases = (
        Case(
            name=name,
            findings=tuple(found),
            tests=tested[name],
            trouble=trouble,
            alpha=alpha,
            family=family,
            answer_kind=answer_kind,
            identical=name in identical,
            from_scratch=kinship.has_no_parent(name),
            relatives=relatives[name],
            flags=(flags or {}).get(name, ""),
            reference=name in kinship.references,
            rivals=tuple(one for one in alike if one in relatives[name]),
            nearer=nearer,
        )
        for name, found in findings.items()
    )
    return ranked([judged(case) for case in cases], kinship)


def _most_alike(findings: Mapping[str, Sequence[Finding]]) -> list[str]:
    """Returns the candidates that the panel says something of, those most alike first."""
    found = [
        (-one.statistic, name)
        for name, every in findings.items()
        for one in every
        if one.test == Resemblance.name and one.statistic is not None
    ]
    return [name for _, name in sorted(found)]
