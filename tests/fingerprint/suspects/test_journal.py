"""A journal asks again what failed, no more than its budget, and never what it knows."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fingerprint.answers import Answers, ask
from fingerprint.errors import (
    EnvironmentFailure,
    InputRefused,
    MalformedFile,
    UnsafeFile,
    UsageError,
)
from fingerprint.questions import Questions, questions_for
from fingerprint.suspects import Identity, Journal, ModelSuspect, Narrowed
from fingerprint.verdict import judge
from tests.support.fingerprints import make_fingerprint, make_model

MODEL = make_model(1, path="/models/one.safetensors")
FINGERPRINT = make_fingerprint(MODEL, probes=12)
QUESTIONS = questions_for({"one": FINGERPRINT})
TOTAL = len(QUESTIONS.ids) + 1
Rows = NDArray[np.float32]


class Line(ModelSuspect):
    """A model behind a line that is down for some of the calls."""

    batch = 8

    def __init__(
        self, down: Callable[[int], bool] = lambda call: False, model: Any = MODEL
    ) -> None:
        super().__init__(model)
        self.down = down
        self.batches: list[int] = []

    def respond(self, inputs: NDArray[Any]) -> Rows:
        self.batches.append(len(inputs))
        if self.down(len(self.batches)):
            raise TimeoutError("no answer within 30 s")
        return super().respond(inputs)


def asked(suspect: Any, questions: Questions = QUESTIONS) -> Answers:
    return ask(suspect, questions)


def same(first: Answers, second: Answers) -> bool:
    return first.values.keys() == second.values.keys() and all(
        np.allclose(row, second.values[name], rtol=1e-5) for name, row in first.values.items()
    )


WHOLE = ask(Line(), QUESTIONS)


def test_a_journal_changes_no_answer_and_passes_on_who_answers(tmp_path: Path) -> None:
    line = Line()
    journal = Journal(line, tmp_path / "journal")
    answers = asked(journal)
    assert same(answers, WHOLE)
    assert answers.failure == ""
    assert (answers.queries, line.queries) == (TOTAL, TOTAL)
    assert (journal.identity, journal.facts(), journal.input) == (
        line.identity,
        line.facts(),
        line.input,
    )


def test_an_interrupted_verification_asks_only_what_is_missing(tmp_path: Path) -> None:
    broken = Line(lambda call: call > 2)
    first = asked(Journal(broken, tmp_path / "journal", retries=0))
    assert len(first.values) == 16
    assert "no answer within 30 s" in first.failure
    line = Line()
    second = asked(Journal(line, tmp_path / "journal"))
    failed = 8
    assert first.queries == 16 + failed
    assert (line.queries, second.queries) == (TOTAL - 16, TOTAL + failed)
    assert same(second, WHOLE)
    assert second.repeatable(1e-6)
    silent = Line(lambda call: True)
    third = asked(Journal(silent, tmp_path / "journal"))
    assert (silent.queries, third.failure, third.queries) == (0, "", TOTAL + failed)
    assert same(third, WHOLE)
    assert judge({"one": FINGERPRINT}, third) == judge({"one": FINGERPRINT}, second)


def test_a_person_who_stops_loses_nothing(tmp_path: Path) -> None:
    def stopped(call: int) -> bool:
        if call == 3:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        asked(Journal(Line(stopped), tmp_path / "journal"))
    line = Line()
    assert same(asked(Journal(line, tmp_path / "journal")), WHOLE)
    assert line.queries == TOTAL - 16


@pytest.mark.parametrize("lost", [1, 20, 60])
def test_a_line_that_a_crash_cut_short_is_asked_again(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "journal"
    asked(Journal(Line(), path))
    path.write_bytes(path.read_bytes()[:-lost])
    line = Line()
    answers = asked(Journal(line, path))
    assert (line.queries, answers.repeatable(1e-6)) == (1, True)
    assert same(answers, WHOLE)
    assert len(path.read_text().splitlines()) == 1 + TOTAL


def test_a_batch_that_fails_is_tried_again_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    line = Line(lambda call: call in (1, 2, 3))
    answers = asked(Journal(line, retries=3, pause=0.5))
    assert pauses == [0.5, 1.0, 2.0]
    assert same(answers, WHOLE)
    assert answers.queries == line.queries == TOTAL + 3 * 8


def test_after_the_last_try_nothing_more_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    line = Line(lambda call: call > 1)
    answers = asked(Journal(line, retries=2))
    assert line.batches == [8] * 4
    assert len(answers.values) == 8
    assert answers.failure.endswith("no answer within 30 s")


def test_a_model_that_is_refused_is_not_tried_again() -> None:
    class Refused(Line):
        def respond(self, inputs: NDArray[Any]) -> Rows:
            super().respond(inputs)
            raise InputRefused("it is no model")

    line = Refused()
    with pytest.raises(InputRefused):
        asked(Journal(line))
    assert len(line.batches) == 1


@pytest.mark.parametrize("budget", [1, 7, 8, 11, TOTAL - 1])
def test_a_budget_is_spent_and_never_exceeded(tmp_path: Path, budget: int) -> None:
    path, spent = tmp_path / "journal", 0
    while True:
        line = Line()
        answers = asked(Journal(line, path, max_queries=budget))
        assert line.queries == min(budget, TOTAL - spent)
        spent += line.queries
        assert len(answers.values) == min(spent, TOTAL - 1)
        if spent == TOTAL:
            break
        assert f"the budget of {budget} queries is spent" in answers.failure
    assert answers.failure == ""
    assert same(answers, WHOLE)


def test_failed_tries_are_spent_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    line = Line(lambda call: call == 1)
    asked(Journal(line, max_queries=12))
    assert line.queries == 8
    line = Line(lambda call: call == 1)
    asked(Journal(line, max_queries=16))
    assert line.queries == 16


def test_batches_are_as_large_as_wanted() -> None:
    line = Line()
    asked(Journal(line, batch=5))
    assert max(line.batches) == 5
    everything = Line()
    rows = Journal(everything, batch=5).answer(QUESTIONS.inputs)
    assert max(everything.batches) == 5
    np.testing.assert_allclose(rows, np.stack(list(WHOLE.values.values())), rtol=1e-5)


def test_what_was_not_answered_is_asked_again_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Line.respond

    def mostly(line: Line, inputs: NDArray[Any]) -> Rows:
        rows = whole(line, inputs)
        rows[0] = np.nan
        return rows

    mute = Line()
    with monkeypatch.context() as patch:
        patch.setattr(Line, "respond", mostly)
        first = asked(Journal(mute, tmp_path / "journal"))
    unanswered = len(QUESTIONS.ids) - len(first.values)
    assert unanswered == len(mute.batches) - 1
    line = Line()
    assert same(asked(Journal(line, tmp_path / "journal")), WHOLE)
    assert line.queries == unanswered + 1


class Named(Line):
    """Top-k answers; every third names no class."""

    def __init__(self) -> None:
        super().__init__()
        self.output = replace(self.output, kind="top-k")

    def respond(self, inputs: NDArray[Any]) -> Rows:
        rows = np.where([1, 1, 0, 0, 0], np.abs(super().respond(inputs)), 0).astype(np.float32)
        rows[::3] = 0.0
        return rows


def test_a_row_that_names_no_class_is_no_answer_and_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = asked(Journal(Named(), path))
    assert len(first.values) == sum(line.startswith('{"answer"') for line in path.open()) < 40
    again = Named()
    second = asked(Journal(again, path))
    assert again.queries == len(QUESTIONS.ids) - len(first.values) + 1
    assert second.queries == first.queries + again.queries


# Whose journal, and of what.


@pytest.mark.parametrize(
    "other",
    [
        Line(model=make_model(2, path="/models/one.safetensors")),
        Narrowed(Line(), "labels"),
        Narrowed(Line(), "logits", decimals=1),
        ModelSuspect(make_model(1)),
        Line(model=replace(MODEL, pick="aux")),
        Line(model=MODEL.to(dtype=torch.float64)),
        ModelSuspect(MODEL),
    ],
    ids=["other weights", "labels", "rounded", "from memory", "field", "dtype", "class"],
)
def test_the_journal_of_another_suspect_is_refused(tmp_path: Path, other: Any) -> None:
    path = tmp_path / "journal"
    asked(Journal(Line(), path, max_queries=9))
    before = path.read_bytes()
    with pytest.raises(InputRefused, match="one of another"):
        asked(Journal(other, path))
    assert (path.read_bytes(), other.queries) == (before, 0)


def test_who_does_not_say_who_it_is_has_no_journal(tmp_path: Path) -> None:
    class Nobody(Line):
        def __init__(self, label: str = "") -> None:
            super().__init__()
            self.identity = Identity(label=label)

    with pytest.raises(UsageError, match="expected a suspect that says who it is"):
        Journal(Nobody(), tmp_path / "journal")
    assert not (tmp_path / "journal").exists()
    assert same(asked(Journal(Nobody())), WHOLE)
    assert same(asked(Journal(Nobody("https://a.example"), tmp_path / "journal")), WHOLE)
    with pytest.raises(InputRefused, match="one of another"):
        asked(Journal(Nobody("https://b.example"), tmp_path / "journal"))


def test_other_decimals_are_another_suspect(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    asked(Journal(Narrowed(Line(), "top-k", k=2), path))
    with pytest.raises(InputRefused, match="one of another"):
        asked(Journal(Narrowed(Line(), "top-k", k=3), path))


def test_the_same_model_in_another_place_goes_on(tmp_path: Path) -> None:
    asked(Journal(Line(), tmp_path / "journal"))
    moved = Line(model=make_model(1, path="/elsewhere/one.safetensors"))
    assert same(asked(Journal(moved, tmp_path / "journal")), WHOLE)
    assert moved.queries == 0


def test_the_journal_of_other_questions_is_refused(tmp_path: Path) -> None:
    asked(Journal(Line(), tmp_path / "journal"))
    both = questions_for({"one": FINGERPRINT, "two": make_fingerprint(make_model(2))})
    with pytest.raises(InputRefused, match="one of others"):
        asked(Journal(Line(), tmp_path / "journal"), both)


NOT_A_NUMBER = base64.b64encode(np.full(5, np.nan, "<f4").tobytes()).decode()


def with_line(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """Changes the third line."""

    def edit(data: bytes) -> bytes:
        lines = data.splitlines()
        lines[2] = json.dumps(change(json.loads(lines[2]))).encode()
        return b"\n".join(lines) + b"\n"

    return edit


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "weights": lambda data: b"PK\x03\x04" * 100,
    "no newline at all": lambda data: b"{" * 5000,
    "deep": lambda data: b"[" * 10**5 + b"\n",
    "another version": lambda data: data.replace(b'"journal":1', b'"journal":2'),
    "rubbish in the middle": lambda data: data.replace(b'{"answer"', b'{"answ', 3),
    "a list": with_line(lambda entry: [entry]),
    "a stranger's id": with_line(lambda entry: {**entry, "id": "0" * 32}),
    "an id that is none": with_line(lambda entry: {**entry, "id": []}),
    "no base64": with_line(lambda entry: {**entry, "answer": "?" + entry["answer"]}),
    "fewer values": with_line(lambda entry: {**entry, "answer": entry["answer"][:8]}),
    "NaN": with_line(lambda entry: {**entry, "answer": NOT_A_NUMBER}),
    "half a query": with_line(lambda entry: {"unanswered": 0.5}),
    "less than no queries": with_line(lambda entry: {"unanswered": -8}),
    "a number": with_line(lambda entry: {**entry, "answer": 7}),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_journal_is_refused_and_left_as_it_is(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "journal"
    asked(Journal(Line(), path, max_queries=9))
    path.write_bytes(change(path.read_bytes()))
    before, line = path.read_bytes(), Line()
    with pytest.raises(MalformedFile, match="journal"):
        asked(Journal(line, path))
    assert (path.read_bytes(), line.queries) == (before, 0)


def test_an_empty_file_is_begun_and_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert same(asked(Journal(Line(), tmp_path / "empty")), WHOLE)
    with pytest.raises(UnsafeFile, match="directory"):
        asked(Journal(Line(), tmp_path))
    with pytest.raises(EnvironmentFailure):
        asked(Journal(Line(), tmp_path / "missing" / "journal"))


def test_a_disk_that_is_full_ends_the_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line()
    journal = Journal(line, tmp_path / "journal")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    answers = asked(journal)
    assert "No space left on device" in answers.failure
    assert (line.queries, len(answers.values)) == (8, 8)


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"retries": -1}, {"pause": float("nan")}, {"max_queries": 0}]
)
def test_impossible_numbers_are_wrong_calls(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected at least"):
        Journal(Line(), **options)
