"""The rules for one candidate, in order: the first that says something decides."""

from __future__ import annotations

from collections.abc import Callable

from fingerprint.text import clean
from fingerprint.verdict.case import Case, Ruling
from fingerprint.verdict.derived import descent, usual_copy
from fingerprint.verdict.independent import independence
from fingerprint.verdict.same import equal_answers, other_answers

__all__ = ["decided"]


def decided(case: Case) -> Ruling:
    """Decides about one candidate, and says why in one sentence."""
    rulings = (rule(case) for rule in _RULES)
    return next(ruling for ruling in rulings if ruling is not None)


def _no_evidence(case: Case) -> Ruling | None:
    return Ruling("inconclusive", f"no evidence: {case.missing}") if case.missing else None


def _fed_otherwise(case: Case) -> Ruling | None:
    """A suspect that resembles the candidate if it is fed otherwise is no stranger to it."""
    if not case.flags:
        return None
    return Ruling(
        "inconclusive",
        f"fed as the flags say it does not match, with {case.flags} it resembles "
        f"{clean(case.name)}: feed it so",
    )


_RULES: tuple[Callable[[Case], Ruling | None], ...] = (
    _no_evidence,
    equal_answers,
    other_answers,
    usual_copy,
    descent,
    _fed_otherwise,
    # Always says something.
    independence,
)
