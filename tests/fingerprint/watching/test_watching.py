"""A target that answers as before is left alone; one that does not is found, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fingerprint.errors import InputRefused, MalformedFile, NoEvidence, UsageError
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.suspects import Narrowed
from fingerprint.suspects.base import Suspect
from fingerprint.watching import (
    Baseline,
    Recorded,
    Run,
    first_seen,
    judged,
    observe,
    rotation,
    unheard,
)
from fingerprint.watching.baseline import TOLERANCE
from tests.support.watched import Linear, pixels

KINDS: tuple[AnswerKind, ...] = ("logits", "probabilities", "labels")
NOISE = {"logits": 0.5, "probabilities": 0.5, "labels": 1.5}


class Watched:
    """A target, its baseline and all looks at it."""

    def __init__(self, suspect: Suspect, questions: int = 12, **options: Any) -> None:
        self.suspect = suspect
        self.baseline = first_seen(suspect, pixels(questions), **options)
        self.runs: list[Run] = []

    def look(self, times: int = 1) -> Run:
        for _ in range(times):
            turn = len(self.runs)
            last = self.runs[-1].repeatable if self.runs else self.baseline.repeatable
            places = rotation(self.baseline, "key", turn=turn, count=4)
            self.add(observe(self.baseline, self.suspect, places, repeatable=last))
        return self.runs[-1]

    def add(self, seen: Any) -> Run:
        now = f"t{len(self.runs) + 1}"
        run = judged(self.baseline, self.runs, seen, began="t0", now=now, alpha=0.001)
        self.runs.append(Run.from_dict(run.to_dict()))
        return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_repeats_itself_is_never_called_changed(kind: AnswerKind) -> None:
    watched = Watched(Linear(kind))
    assert watched.baseline.repeatable
    assert watched.baseline.queries == 2 * len(pixels())
    assert watched.look(30).state == "unchanged"
    assert {run.state for run in watched.runs} == {"unchanged"}
    assert {run.queries for run in watched.runs} == {4}


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_any_other_answer_of_such_a_target_is_a_change(kind: AnswerKind) -> None:
    suspect = Linear(kind)
    watched = Watched(suspect)
    watched.look(5)
    suspect.moved = 1e-3
    found = watched.look()
    assert (found.state, found.since) == ("changed", ("t5", "t6"))
    assert found.reason == "4 of 4 answers are not as recorded"


def test_a_difference_within_rounding_or_tolerance_is_none() -> None:
    suspect = Linear()
    watched, tolerant = Watched(suspect), Watched(suspect, tolerance=0.1)
    suspect.moved = 1e-7
    assert watched.look().state == "unchanged"
    suspect.moved = 1e-3
    assert tolerant.look().state == "unchanged"
    assert watched.look().state == "changed"


def test_rounded_answers_may_differ_by_one_step_of_their_rounding() -> None:
    class Rounded(Linear):
        def respond(self, inputs: Any) -> Any:
            return np.round(super().respond(inputs), 2)

    suspect = Rounded("probabilities")
    watched = Watched(suspect)
    suspect.moved = 1e-4
    assert watched.look(3).state == "unchanged"
    suspect.moved = 1.0
    assert watched.look().state == "changed"


def test_a_target_stays_changed_whatever_it_answers_later() -> None:
    suspect = Linear()
    watched = Watched(suspect)
    suspect.moved = 1.0
    watched.look()
    suspect.moved = 0.0
    later = watched.look()
    assert (later.state, later.since) == ("changed", ("t0", "t1"))
    assert watched.add(unheard("no route")).state == "changed"


def test_one_answer_that_slipped_is_no_change_and_ranks_begin() -> None:
    suspect = Linear()
    watched = Watched(suspect)
    asked = watched.baseline.queries
    suspect.slips = {asked + 2}
    found = watched.look()
    assert (found.state, found.repeatable, found.queries) == ("unchanged", False, 4 + 2)
    assert "do not repeat any more" in found.reason
    assert watched.look(20).state == "unchanged"
    assert not watched.runs[-1].repeatable
    suspect.moved = 1.0
    assert watched.look(3).state == "changed"


def test_one_that_slipped_three_times_in_turn_is_a_change() -> None:
    suspect = Linear()
    watched = Watched(suspect)
    asked = watched.baseline.queries
    suspect.slips = {asked + 2, asked + 5, asked + 6}
    assert watched.look().reason == "1 of 4 answers are not as recorded"


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_no_change(kind: AnswerKind) -> None:
    watched = Watched(Linear(kind, noise=NOISE[kind]))
    assert not watched.baseline.repeatable
    assert watched.look(60).state == "unchanged"
    assert {run.state for run in watched.runs} == {"unchanged"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_behind_noise_is_found_and_when(kind: AnswerKind) -> None:
    suspect = Linear(kind, noise=NOISE[kind])
    watched = Watched(suspect, questions=60)
    watched.look(20)
    suspect.moved = -2.0
    while watched.look().state == "unchanged":
        assert len(watched.runs) < 40
    assert watched.runs[-1].since == ("t20", "t21")
    assert "by chance less than once in" in watched.runs[-1].reason


def test_noise_that_stops_is_a_change() -> None:
    suspect = Linear(noise=0.3)
    watched = Watched(suspect)
    watched.look(20)
    suspect.noise = 0.0
    assert watched.look(20).state == "changed"
    assert watched.runs[-1].since == ("t20", "t21")


def test_top_answers_are_ranked_too() -> None:
    suspect = Linear("probabilities", noise=0.3)
    watched = Watched(Narrowed(suspect, "top-k", k=3))
    assert watched.look(20).state == "unchanged"
    suspect.moved = 2.0
    assert watched.look(10).state == "changed"


def test_a_target_that_cannot_be_asked_is_unclear_and_why() -> None:
    suspect = Linear()
    watched = Watched(suspect)
    suspect.dead = True
    found = watched.look()
    assert (found.state, found.since) == ("unclear", None)
    assert "the line is dead" in found.reason
    assert watched.add(unheard("no route")).reason == "no route"
    suspect.dead = False
    assert watched.look().state == "unchanged"
    suspect.moved = 1.0
    assert watched.look().since == ("t3", "t4")


def test_one_that_answers_otherwise_and_then_no_more_does_not_pass() -> None:
    class Mute(Linear):
        def respond(self, inputs: Any) -> Any:
            if self.moved and len(inputs) == 1:
                raise OSError("too many requests")
            return super().respond(inputs)

    suspect = Mute()
    watched = Watched(suspect)
    suspect.moved = 1.0
    found = watched.look()
    assert found.state == "unclear"
    assert "none came again" in found.reason


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_answers_of_another_form_are_a_change(noise: float) -> None:
    suspect = Linear(noise=noise)
    watched = Watched(suspect)
    suspect.output = OutputSpec(classes=7)
    found = watched.look()
    assert (found.state, found.since) == ("changed", ("t0", "t1"))
    assert found.reason == "it answers with 7 logits, and answered with 5 logits"


def test_all_questions_have_their_turn_before_one_comes_again() -> None:
    baseline = first_seen(Linear(), pixels(10))
    turns = [rotation(baseline, "key", turn=turn, count=4) for turn in range(5)]
    assert sorted(place for turn in turns for place in turn) == sorted([*range(10), *range(10)])
    first, second = turns[0] + turns[1], [rotation(baseline, "b", turn=t, count=4) for t in (0, 1)]
    assert first != second[0] + second[1]
    assert rotation(baseline, "key", turn=3, count=50) == list(range(10))


def recorded(suspect: Linear, kind: AnswerKind = "logits") -> Recorded:
    rows = suspect.respond(pixels())
    output = OutputSpec(classes=5, kind=kind)
    return Recorded(name="ours", output=output, answers=rows, tolerance=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_is_held_against_a_registered_model(kind: AnswerKind) -> None:
    suspect = Linear(kind)
    watched = Watched(suspect, recorded=recorded(Linear()), few=4)
    assert watched.baseline.queries == 8
    assert len(watched.baseline.inputs) == len(pixels())
    assert watched.look(10).state == "unchanged"
    suspect.moved = 3.0
    assert watched.look(2).state == "changed"


def test_one_that_is_not_the_registered_model_is_refused() -> None:
    suspect = Linear()
    suspect.moved = 1e-2
    with pytest.raises(InputRefused, match=r"4 of 4 answers are not those of 'ours'.*--tolerance"):
        first_seen(suspect, pixels(), recorded=recorded(Linear()), few=4)


def test_noise_around_a_registered_model_is_ranked_by_its_answers() -> None:
    watched = Watched(Linear(noise=0.3), recorded=recorded(Linear()), repeats=6)
    assert watched.baseline.reference.shape[1] == 1
    assert all(len(some) == 6 for some in watched.baseline.scores)
    assert watched.look(20).state == "unchanged"


def test_other_classes_are_watched_as_they_are() -> None:
    other = Recorded(
        name="ours", output=OutputSpec(classes=3), answers=np.ones((12, 3), np.float32), tolerance=0
    )
    assert first_seen(Linear(), pixels(), recorded=other).tolerance == TOLERANCE


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_baseline_is_read_as_it_was_written(noise: float) -> None:
    baseline = first_seen(Linear("probabilities", noise=noise), pixels(), repeats=6)
    again = Baseline.decode(baseline.encode())
    assert again.encode() == baseline.encode()
    assert again.scores == baseline.scores
    np.testing.assert_array_equal(again.reference, baseline.reference)


@pytest.mark.parametrize("damage", [b"", b"x" * 50, b"\xff" * 20])
def test_what_is_no_baseline_is_refused(damage: bytes) -> None:
    with pytest.raises(MalformedFile, match="expected a baseline"):
        Baseline.decode(damage)


def test_a_target_that_answers_too_little_is_not_watched() -> None:
    suspect = Linear()
    suspect.dead = True
    with pytest.raises(NoEvidence, match=r"got them to 0: .*the line is dead"):
        first_seen(suspect, pixels())


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 4 repeats"):
        first_seen(Linear(), pixels(), repeats=3)
