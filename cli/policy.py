"""Whether a verification satisfies what its caller expects or forbids.

No evidence is never a pass: where nothing can be concluded about a model that a policy names,
the answer is inconclusive, not yes. Neither passes nor fails who merely shares an origin with a
model: a sibling of it does as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.errors import ExitCode
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.verification import Verification

__all__ = ["Check", "Judgement", "checks", "judge"]


@dataclass(frozen=True)
class Check:
    """What one question about a verification comes to, for reports that list them.

    Attributes:
        name: ``forbid NAME``, ``expect NAME``, or ``verdict`` where no policy was given.
        code: ``OK`` where it holds, ``POLICY_FAILED`` or ``INCONCLUSIVE``.
        reason: One line: why.
    """

    name: str
    code: ExitCode
    reason: str


@dataclass(frozen=True)
class Judgement:
    """What a policy makes of a verification.

    Attributes:
        code: The exit code.
        reasons: One line for each policy that does not hold.
    """

    code: ExitCode
    reasons: tuple[str, ...] = ()


def _judge_name(result: Verification, name: str, *, wanted: bool) -> Judgement:
    """Judges one policy about one model."""
    candidate = next((one for one in result.candidates if one.name == name), None)
    policy, shown = "--expect" if wanted else "--forbid", clean(name)
    if candidate is not None and candidate.identical_weights and not wanted:
        said = "the suspect has its very weights"
        return Judgement(ExitCode.POLICY_FAILED, (f"{policy} {shown}: {said}",))
    if candidate is None or candidate.verdict == "inconclusive":
        reason = f"{policy} {shown}: nothing can be concluded about this model"
        return Judgement(ExitCode.INCONCLUSIVE, (reason,))
    if candidate.relation == "shares_origin":
        reason = (
            f"{policy} {shown}: the suspect shares an origin with it, which does not say that it "
            f"descends from it; if {shown} has no parent, say so by registering its weights once "
            f"more, as then: 'fp register MODEL --name {shown} --from-scratch'; if it has one, "
            "answers do not tell its descendants from its siblings"
        )
        return Judgement(ExitCode.INCONCLUSIVE, (reason,))
    if (candidate.verdict != "independent") is wanted:
        return Judgement(ExitCode.OK)
    said = {"same": "the same as", "derived": "derived from"}.get(
        candidate.verdict, "independent of"
    )
    return Judgement(ExitCode.POLICY_FAILED, (f"{policy} {shown}: the suspect is {said} it",))


def checks(
    result: Verification, *, expect: Sequence[str] = (), forbid: Sequence[str] = ()
) -> tuple[Check, ...]:
    """Returns each policy with what it comes to; without any, whether there is a verdict.

    Args:
        result: The verification.
        expect: As for :func:`judge`.
        forbid: As for :func:`judge`.
    """
    found = []
    for names, wanted in ((forbid, False), (expect, True)):
        for name in names:
            judgement = _judge_name(result, name, wanted=wanted)
            reason = next(iter(judgement.reasons), f"{clean(name)}: {_said(result, name)}")
            policy = "expect" if wanted else "forbid"
            found.append(Check(f"{policy} {name}", judgement.code, reason))
    if not found:
        code = ExitCode.OK if _answered(result, named=False) else ExitCode.INCONCLUSIVE
        found.append(Check("verdict", code, f"{result.verdict}: {clean(result.reason, 500)}"))
    return tuple(found)


def _said(result: Verification, name: str) -> str:
    """Returns the verdict on one candidate, and why."""
    one = next(one for one in result.candidates if one.name == name)
    return f"{one.verdict}: {clean(one.reason, 500)}"


def judge(
    result: Verification, *, expect: Sequence[str] = (), forbid: Sequence[str] = ()
) -> Judgement:
    """Judges a verification by the policies of the command line.

    A policy that failed outweighs one that could not be decided.

    Args:
        result: The verification.
        expect: The suspect must be each of these models or derived from it.
        forbid: The suspect must be none of these models, nor derived from one.
    """
    judgements = [_judge_name(result, name, wanted=False) for name in forbid]
    judgements += [_judge_name(result, name, wanted=True) for name in expect]
    if not _answered(result, named=bool(judgements)):
        judgements.append(Judgement(ExitCode.INCONCLUSIVE))
    reasons = tuple(reason for judgement in judgements for reason in judgement.reasons)
    codes = {judgement.code for judgement in judgements}
    for code in (ExitCode.POLICY_FAILED, ExitCode.INCONCLUSIVE):
        if code in codes:
            return Judgement(code, reasons)
    return Judgement(ExitCode.OK)


def _answered(result: Verification, *, named: bool) -> bool:
    """Whether the question has an answer; policies ask of the models they name, not of all.

    Public references explain; that a suspect derives from one is no answer that is lacking.
    """
    if not result.candidates:
        return False
    ours = [candidate for candidate in result.candidates if not candidate.reference]
    clear = all(candidate.verdict == "independent" for candidate in ours)
    return result.verdict != "inconclusive" or (named and clear)
