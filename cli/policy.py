"""What policies (:mod:`fingerprint.policy`) mean on the command line: a code, and lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.errors import ExitCode
from fingerprint import policy
from fingerprint.policy import Outcome
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.verification import Verification

__all__ = ["Check", "Judgement", "checks", "judge"]

_CODES = {
    Outcome.PASSED: ExitCode.OK,
    Outcome.FAILED: ExitCode.POLICY_FAILED,
    Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}


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


def checks(
    result: Verification, *, expect: Sequence[str] = (), forbid: Sequence[str] = ()
) -> tuple[Check, ...]:
    """Returns each policy with what it comes to; without any, whether there is a verdict.

    Args:
        result: The verification.
        expect: As for :func:`judge`.
        forbid: As for :func:`judge`.
    """
    judged = policy.judge(result, expect=expect, forbid=forbid)
    if not judged.checks:
        reason = f"{result.verdict}: {clean(result.reason, 500)}"
        return (Check("verdict", _CODES[judged.outcome], reason),)
    return tuple(
        Check(f"{one.policy} {one.name}", _CODES[one.outcome], _line(one)) for one in judged.checks
    )


def judge(
    result: Verification, *, expect: Sequence[str] = (), forbid: Sequence[str] = ()
) -> Judgement:
    """Judges a verification by the policies of the command line.

    Args:
        result: The verification.
        expect: The suspect must be each of these models or derived from it.
        forbid: The suspect must be none of these models, nor derived from one.
    """
    judged = policy.judge(result, expect=expect, forbid=forbid)
    unmet = (one for one in judged.checks if one.outcome is not Outcome.PASSED)
    return Judgement(_CODES[judged.outcome], tuple(map(_line, unmet)))


def _line(check: policy.Check) -> str:
    shown = clean(check.name)
    if check.outcome is Outcome.PASSED:
        return f"{shown}: {check.reason}"
    return f"--{check.policy} {shown}: {check.reason}"
