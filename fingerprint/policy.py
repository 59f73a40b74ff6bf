"""Whether a verification satisfies what its caller expects or forbids.

    judge(verification, expect=["ours"], forbid=["theirs"]).outcome      # Outcome.PASSED, ...

No evidence is never a pass: where nothing can be concluded about a model that a policy names,
the answer is inconclusive, not yes. Neither passes nor fails who merely shares an origin with a
model: a sibling of it does as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.verification import Candidate, Verification

__all__ = ["Check", "Judgement", "Outcome", "judge"]


class Outcome(StrEnum):
    """What a policy comes to."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Check:
    """What one policy comes to.

    Attributes:
        policy: ``expect`` or ``forbid``.
        name: The model it names.
        outcome: Whether it holds.
        reason: One line, without the policy and the name: why.
    """

    policy: Literal["expect", "forbid"]
    name: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Judgement:
    """What all policies make of a verification.

    Attributes:
        outcome: The worst of them; without any, whether there is a verdict.
        checks: Each policy, what is forbidden first.
    """

    outcome: Outcome
    checks: tuple[Check, ...] = ()


def judge(
    result: Verification, *, expect: Sequence[str] = (), forbid: Sequence[str] = ()
) -> Judgement:
    """Judges a verification by policies.

    A policy that failed outweighs one that could not be decided.

    Args:
        result: The verification.
        expect: The suspect must be each of these models or derived from it.
        forbid: The suspect must be none of these models, nor derived from one.
    """
    checks = (
        *(Check("forbid", name, *_checked(result, name, wanted=False)) for name in forbid),
        *(Check("expect", name, *_checked(result, name, wanted=True)) for name in expect),
    )
    found = {check.outcome for check in checks}
    if not _answered(result, named=bool(checks)):
        found.add(Outcome.INCONCLUSIVE)
    for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE):
        if outcome in found:
            return Judgement(outcome, checks)
    return Judgement(Outcome.PASSED, checks)


def _checked(result: Verification, name: str, *, wanted: bool) -> tuple[Outcome, str]:
    """Judges one policy about one model."""
    candidate = next((one for one in result.candidates if one.name == name), None)
    if candidate is not None and candidate.identical_weights and not wanted:
        return Outcome.FAILED, "the suspect has its very weights"
    if candidate is None or candidate.verdict == "inconclusive":
        return Outcome.INCONCLUSIVE, "nothing can be concluded about this model"
    if candidate.relation == "shares_origin":
        return Outcome.INCONCLUSIVE, _origin(clean(name))
    if (candidate.verdict != "independent") is wanted:
        return Outcome.PASSED, f"{candidate.verdict}: {clean(candidate.reason, 500)}"
    return Outcome.FAILED, f"the suspect is {_said(candidate)} it"


def _said(candidate: Candidate) -> str:
    return {"same": "the same as", "derived": "derived from"}.get(
        candidate.verdict, "independent of"
    )


def _origin(shown: str) -> str:
    return (
        "the suspect shares an origin with it, which does not say that it "
        f"descends from it; if {shown} has no parent, say so by registering its weights once "
        f"more, as then: 'fp register MODEL --name {shown} --from-scratch'; if it has one, "
        "answers do not tell its descendants from its siblings"
    )


def _answered(result: Verification, *, named: bool) -> bool:
    """Whether the question has an answer; policies ask of the models they name, not of all.

    Public references explain; that a suspect derives from one is no answer that is lacking.
    """
    if not result.candidates:
        return False
    ours = [candidate for candidate in result.candidates if not candidate.reference]
    clear = all(candidate.verdict == "independent" for candidate in ours)
    return result.verdict != "inconclusive" or (named and clear)
