"""Fingerprints and answers in, a verification out: what each test measures is weighed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from fingerprint.errors import UsageError
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.copies import Copies
from fingerprint.evidence.equality import Equality
from fingerprint.evidence.finding import Finding, Test
from fingerprint.evidence.harm_ratio import HarmRatio
from fingerprint.evidence.nearer import Nearer
from fingerprint.evidence.resemblance import Resemblance
from fingerprint.kinship import Kinship
from fingerprint.verdict.ranking import overall, warnings
from fingerprint.verdict.weighing import weigh
from fingerprint.verification import Verification

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["TESTS", "judge"]

TESTS: tuple[Test, ...] = (HarmRatio(), Resemblance(), Copies(), Equality())
_NOTHING_KNOWN = Kinship()
_NOTHING_MEASURED = Calibration()


def judge(
    fingerprints: Mapping[str, Fingerprint],
    answers: Answers,
    *,
    kinship: Kinship = _NOTHING_KNOWN,
    calibration: Calibration = _NOTHING_MEASURED,
    alpha: float = 0.001,
    compatible: Collection[str] = (),
    not_asked: Collection[str] = (),
    flags: Mapping[str, str] | None = None,
) -> Verification:
    """Says whose the suspect is that gave these answers.

    Args:
        fingerprints: By name, of the candidates that were asked.
        answers: What came back.
        kinship: What is declared of the models.
        calibration: What is known of independent models.
        alpha: Accepted rate of false claims of descent, over all compatible candidates together.
        compatible: Every model that the suspect could be, asked or not; those of
            ``fingerprints`` are counted in any case.
        not_asked: Those that other evidence ruled out, so that they were not asked.
        flags: By candidate, how the suspect would have to be fed to resemble it.

    Returns:
        The verdict with its findings, candidates best first. What does not match is a value,
        never an exception.

    Raises:
        UsageError: ``alpha`` is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha: expected a level between 0 and 1, got {alpha}")
    family = {*fingerprints, *compatible, *not_asked}
    candidates = weigh(
        {
            name: _measured(name, fingerprint, answers, calibration)
            for name, fingerprint in fingerprints.items()
        },
        family=len(family),
        alpha=alpha,
        answer_kind=answers.kind,
        trouble=_trouble(answers, fingerprints),
        kinship=kinship,
        flags=flags,
        identical=[
            name
            for name, fingerprint in fingerprints.items()
            if fingerprint.model_digest == answers.identity.model_digest
        ],
        nearer=Nearer(fingerprints, answers),
    )
    verdict, reason, best = overall(
        [candidate for candidate in candidates if candidate.name not in kinship.references],
        family - fingerprints.keys() - set(not_asked) - kinship.references,
    )
    return Verification(
        suspect={**answers.suspect, "answers": answers.said},
        verdict=verdict,
        reason=reason,
        best=best,
        queries=answers.queries,
        alpha=alpha,
        candidates=candidates,
        not_asked=tuple(sorted(not_asked)),
        warnings=warnings(candidates),
    )


def _measured(
    name: str, fingerprint: Fingerprint, answers: Answers, calibration: Calibration
) -> list[Finding]:
    """What each test says of one candidate."""
    return [
        finding
        for test in TESTS
        for finding in test.measure(name, fingerprint, answers, calibration)
    ]


def _trouble(answers: Answers, fingerprints: Mapping[str, Fingerprint]) -> str:
    """Why the answers as a whole are no evidence; empty if they may be."""
    if answers.failure:
        return (
            f"asking ended early, {answers.failure}; with --journal FILE only what is missing is "
            "asked the next time"
        )
    tolerance = max((one.tolerance for one in fingerprints.values()), default=0.0)
    if answers.repeatable(tolerance) or not answers.values:
        return ""
    if not answers.repeated:
        return "no input was answered twice, so that nothing shows whether answers repeat"
    return "the same input got different answers"
