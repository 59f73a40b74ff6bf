"""Whether a verification satisfies what its caller expects or forbids.

No evidence is never a pass: where nothing can be concluded about a model that a policy names,
the answer is inconclusive, not yes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.errors import ExitCode
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.verification import Verification

__all__ = ["Judgement", "judge"]

_OURS = ("same", "derived")


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
    verdict = next((c.verdict for c in result.candidates if c.name == name), "inconclusive")
    policy = "--expect" if wanted else "--forbid"
    if verdict == "inconclusive":
        reason = f"{policy} {clean(name)}: nothing can be concluded about this model"
        return Judgement(ExitCode.INCONCLUSIVE, (reason,))
    if (verdict in _OURS) is wanted:
        return Judgement(ExitCode.OK)
    relation = {"same": "the same as", "derived": "derived from"}.get(verdict, "independent of")
    return Judgement(
        ExitCode.POLICY_FAILED, (f"{policy} {clean(name)}: the suspect is {relation} it",)
    )


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
    if result.verdict == "inconclusive" or not result.candidates:
        judgements.append(Judgement(ExitCode.INCONCLUSIVE))
    reasons = tuple(reason for judgement in judgements for reason in judgement.reasons)
    codes = {judgement.code for judgement in judgements}
    for code in (ExitCode.POLICY_FAILED, ExitCode.INCONCLUSIVE):
        if code in codes:
            return Judgement(code, reasons)
    return Judgement(ExitCode.OK)
