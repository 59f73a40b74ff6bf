"""Asking a few of the questions again, others each time, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fingerprint.answers import ask, ask_more
from fingerprint.canonical import sha256_of
from fingerprint.distances import answered
from fingerprint.suspects.base import Suspect
from fingerprint.watching.baseline import Baseline

__all__ = ["Observation", "observe", "rotation", "unheard"]

_AGAIN = 2
"""How often a question is asked again whose answer is another one."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a target answered this time.

    Attributes:
        asked: How many questions it was asked, each counted once; none if it was not asked.
        scores: By question that was answered, how far the answer lies from what was recorded.
        differ: Questions whose answer was another one each time, of a target that repeats itself.
        wavers: Whether such a target gave another answer, and then the recorded one again.
        other: What it takes or gives instead, where that is of another form; else empty.
        failure: Why it was not asked everything, one line.
        queries: Inputs it was sent.
    """

    asked: int = 0
    scores: tuple[tuple[int, float], ...] = ()
    differ: tuple[int, ...] = ()
    wavers: bool = False
    other: str = ""
    failure: str = ""
    queries: int = 0


def unheard(reason: str) -> Observation:
    """Returns what is known of a target that could not be asked at all."""
    return Observation(failure=reason)


def rotation(baseline: Baseline, key: str, *, turn: int, count: int) -> list[int]:
    """Returns the questions of one run: all have had their turn before one is asked once more.

    Their order is another in each round, and nobody knows it who does not know the key. It does not
    depend on any answer.

    Args:
        baseline: Whose questions.
        key: A secret.
        turn: How many runs there were.
        count: How many to ask.
    """
    total = len(baseline.inputs)
    some = min(count, total)
    first, begin = divmod(turn * some, total)
    orders = [_order(key, first, total), _order(key, first + 1, total)]
    return sorted({*orders[0][begin : begin + some], *orders[1][: max(begin + some - total, 0)]})


def observe(
    baseline: Baseline, suspect: Suspect, places: Sequence[int], *, repeatable: bool
) -> Observation:
    """Asks some of the questions.

    Args:
        baseline: What the answers are held against.
        suspect: The target.
        places: Which questions.
        repeatable: Whether it has repeated itself so far: another answer is then asked for twice
            more at once, so that one that slipped is not taken for a change.
    """
    other = _other(baseline, suspect)
    if other:
        return Observation(other=other)
    before = suspect.queries
    wanted = list(places)
    given = ask(suspect, baseline.questions(wanted))
    rows = given.of(baseline.inputs[wanted])
    there = answered(rows, baseline.output.kind)
    scores = [
        (place, baseline.score(place, row))
        for place, row, known in zip(wanted, rows, there, strict=True)
        if known
    ]
    differ, wavers = [], False
    for place in [place for place, score in scores if score > 0] if repeatable else []:
        again = _scores_again(baseline, suspect, place)
        wavers |= any(score == 0 for score in again)
        if again and all(score > 0 for score in again):
            differ.append(place)
    return Observation(
        asked=len(wanted),
        scores=tuple(scores),
        differ=tuple(differ),
        wavers=wavers,
        failure=given.failure,
        queries=suspect.queries - before,
    )


def _scores_again(baseline: Baseline, suspect: Suspect, place: int) -> list[float]:
    found = []
    for _ in range(_AGAIN):
        rows = ask_more(suspect, baseline.questions([place])).of(baseline.inputs[[place]])
        if answered(rows, baseline.output.kind)[0]:
            found.append(baseline.score(place, rows[0]))
    return found


def _other(baseline: Baseline, suspect: Suspect) -> str:
    if suspect.input.domain != baseline.input.domain:
        return f"it takes inputs {suspect.input.domain}, and took {baseline.input.domain}"
    now, then = suspect.output, baseline.output
    if (now.classes, now.kind) != (then.classes, then.kind):
        return (
            f"it answers with {now.classes} {now.kind}, and answered with {then.classes} "
            f"{then.kind}"
        )
    return ""


def _order(key: str, round_number: int, total: int) -> list[int]:
    return sorted(range(total), key=lambda place: sha256_of(f"{key}|{round_number}|{place}"))
