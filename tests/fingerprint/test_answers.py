"""What came back is a value, and whatever ends the asking keeps what was answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import nn

from fingerprint.answers import Answers, ask
from fingerprint.errors import EnvironmentFailure, IncompatibleModel, InputRefused, MalformedFile
from fingerprint.network.digest import weights_digest
from fingerprint.network.model import Model
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.questions import question_id, questions_for
from fingerprint.suspects import Identity, ModelSuspect, Suspect
from fingerprint.verdict import judge
from tests.support.fingerprints import make_fingerprint, make_model

MODEL = make_model(1, path="/models/one.safetensors")
FINGERPRINT = make_fingerprint(MODEL, probes=12)
QUESTIONS = questions_for({"one": FINGERPRINT})
Rows = NDArray[np.float32]
BATCH = 8


class Failing(ModelSuspect):
    """A model behind a line that does something to the batch of a number, and from then on."""

    batch = BATCH

    def __init__(self, model: Model, change: Callable[[Rows], Rows], *, at: int = 1) -> None:
        super().__init__(model)
        self.change, self.at, self.calls = change, at, 0

    def respond(self, inputs: NDArray[Any]) -> Rows:
        rows = super().respond(inputs)
        self.calls += 1
        return rows if self.calls <= self.at else self.change(rows)


def raising(error: BaseException) -> Callable[[Rows], Rows]:
    def change(rows: Rows) -> Rows:
        raise error

    return change


FAILURES: dict[str, tuple[Callable[[Rows], Rows], str]] = {
    "raises": (raising(RuntimeError("the line\nwent dead")), "the line"),
    "times out": (raising(TimeoutError("no answer within 30 s")), "no answer within 30 s"),
    "ends the program": (raising(SystemExit(0)), "its code ends the program"),
    "without a word": (raising(ValueError()), "ValueError"),
    "too few": (lambda rows: rows[1:], "expected 8 answers of 5 values, got 7x5"),
    "too many": (lambda rows: np.concatenate([rows, rows]), "got 16x5"),
    "other classes": (lambda rows: rows[:, :3], "got 8x3"),
    "a scalar": (lambda rows: np.float32(1.0), "got a single value"),
    "text": (lambda rows: np.array(["cat"] * len(rows)), "could not convert"),
}


@pytest.mark.parametrize(("change", "reason"), FAILURES.values(), ids=FAILURES.keys())
def test_a_suspect_that_fails_in_the_middle_is_inconclusive_and_what_it_answered_is_kept(
    change: Callable[[Rows], Rows], reason: str
) -> None:
    answers = ask(Failing(MODEL, change, at=2), QUESTIONS)
    assert set(answers.values) == set(QUESTIONS.ids[: 2 * BATCH])
    assert answers.failure.startswith(
        f"{2 * BATCH} of {len(QUESTIONS.ids)} questions were answered: "
    )
    assert reason in answers.failure
    result = judge({"one": FINGERPRINT}, answers)
    assert (result.verdict, result.best) == ("inconclusive", None)
    assert answers.failure in result.reason
    assert "--journal" in result.reason


def test_a_failure_at_the_repeat_is_one_as_well() -> None:
    batches = -(-len(QUESTIONS.ids) // BATCH)
    answers = ask(Failing(MODEL, raising(OSError("gone")), at=batches), QUESTIONS)
    assert set(answers.values) == set(QUESTIONS.ids)
    assert judge({"one": FINGERPRINT}, answers).verdict == "inconclusive"


@pytest.mark.parametrize(
    "mix",
    [lambda rows: rows[::-1], lambda rows: np.roll(rows, 1, axis=0)],
    ids=["reversed", "shifted"],
)
def test_a_suspect_that_mixes_up_the_rows_of_a_batch_is_noticed(
    mix: Callable[[Rows], Rows],
) -> None:
    answers = ask(Failing(MODEL, mix, at=0), QUESTIONS)
    assert answers.failure == ""
    assert not answers.repeatable(1e-3)
    assert "different answers" in judge({"one": FINGERPRINT}, answers).reason


@pytest.mark.parametrize("error", [InputRefused("it is no model"), KeyboardInterrupt()])
def test_a_model_that_is_refused_and_a_person_who_stops_are_no_failure_of_a_line(
    error: Exception,
) -> None:
    with pytest.raises(type(error)):
        ask(Failing(MODEL, raising(error)), QUESTIONS)


def test_a_suspect_of_other_inputs_is_not_asked() -> None:
    suspect = ModelSuspect(make_model(shape=(3, 6, 6)))
    with pytest.raises(IncompatibleModel, match="3x6x6"):
        ask(suspect, QUESTIONS)
    assert suspect.queries == 0


def test_answers_are_found_by_what_was_asked() -> None:
    told: list[tuple[str, int, int]] = []
    answers = ask(ModelSuspect(MODEL), QUESTIONS, progress=lambda *step: told.append(step))
    expected = np.stack([probe.answer for probe in FINGERPRINT.probes])
    np.testing.assert_allclose(answers.of(FINGERPRINT.harmless), expected, rtol=1e-5)
    assert answers.queries == len(QUESTIONS.ids) + 1
    assert answers.repeatable(1e-6)
    assert np.isnan(answers.of(255 - FINGERPRINT.harmless)).all()
    assert told[-1] == ("asking", answers.queries, answers.queries)
    assert answers.of(FINGERPRINT.harmless[:0]).shape == (0, 5)


def test_a_suspect_says_who_it_is() -> None:
    answers = ask(ModelSuspect(MODEL), QUESTIONS)
    file = MODEL.file
    assert file is not None
    assert answers.identity == Identity(
        model_digest=MODEL.digest, file_sha256=file.sha256, label="live:Sequential"
    )
    assert answers.suspect == MODEL.to_dict()


@pytest.mark.parametrize("buffers", [{}, {"steps": torch.tensor(3)}, {"none": torch.zeros(0)}])
def test_who_has_no_weights_says_nothing_of_them(buffers: dict[str, torch.Tensor]) -> None:
    """All such networks have one digest."""
    module = nn.Flatten().eval()
    for name, value in buffers.items():
        module.register_buffer(name, value)
    model = replace(MODEL, module=module, digest=weights_digest(module.state_dict()))
    assert ModelSuspect(model).identity.model_digest is None
    module.register_buffer("shift", torch.zeros(1))
    assert ModelSuspect(model).identity.model_digest == model.digest


class Fixed(Suspect):
    """Answers every input with one row."""

    def __init__(self, row: list[float], kind: AnswerKind) -> None:
        super().__init__(MODEL.input, OutputSpec(classes=len(row), kind=kind))
        self.row = row

    def respond(self, inputs: NDArray[Any]) -> Rows:
        return np.array([self.row] * len(inputs), np.float32)


@pytest.mark.parametrize(
    ("row", "kind", "found", "answered"),
    [
        ([1.0, 2.0], "logits", "logits", True),
        ([np.nan, 2.0], "logits", "logits", False),
        ([np.inf, 2.0], "logits", "logits", False),
        ([0.7, 0.2, 0.0], "top-k", "top-k", True),
        ([0.7, 0.0, 0.0], "top-k", "labels", True),
        ([0.0, 0.0, 0.0], "top-k", "top-k", False),
    ],
)
def test_what_is_no_answer_is_missing_and_one_named_class_is_a_label(
    row: list[float], kind: AnswerKind, found: str, answered: bool
) -> None:
    answers = ask(Fixed(row, kind), QUESTIONS)
    assert (answers.kind, bool(answers.values)) == (found, answered)


_RANDOM = np.random.default_rng(0)
_LOGITS = _RANDOM.normal(size=(30, 4)).astype(np.float32)
_SHARES = np.exp(_LOGITS) / np.exp(_LOGITS).sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("kind", "rows", "said"),
    [
        ("logits", _LOGITS, "logits"),
        ("logits", _LOGITS.round(2), "logits, 2 decimals"),
        ("logits", _LOGITS.round(1), "logits, 1 decimal"),
        ("logits", (9 * _LOGITS).round(), "logits, whole numbers"),
        ("logits", _LOGITS.astype(np.float16), "logits, in half precision"),
        ("logits", (8 * _LOGITS).round() * 0.3, "logits, in steps of 0.3"),
        (
            "logits",
            1 / (1 + np.exp(-_LOGITS)),
            "numbers from 0 to 1 that do not add up to 1, such as several labels at once",
        ),
        ("logits", np.stack([0 * _LOGITS[:, 0], _LOGITS[:, 0]], 1), "one number"),
        ("probabilities", _SHARES, "probabilities"),
        ("probabilities", _SHARES.round(4), "probabilities, 4 decimals"),
        ("top-k", np.where(_SHARES < 0.2, 0, _SHARES), "the 3 likeliest of 4 classes"),
        ("labels", np.eye(4)[_LOGITS.argmax(1)], "labels"),
    ],
)
def test_what_answers_look_like_is_said(kind: AnswerKind, rows: Rows, said: str) -> None:
    values = {str(place): row.astype(np.float32) for place, row in enumerate(rows)}
    answers = Answers(output=OutputSpec(classes=rows.shape[1], kind=kind), values=values)
    assert answers.said == said
    assert replace(answers, values={}).said == kind


def test_a_progress_bar_that_fails_is_no_failure_of_the_suspect() -> None:
    def broken(stage: str, done: int, total: int) -> None:
        raise BrokenPipeError("nobody reads")

    with pytest.raises(BrokenPipeError):
        ask(ModelSuspect(MODEL), QUESTIONS, progress=broken)


@pytest.mark.parametrize("answered", ["neither", "first", "second"])
def test_where_no_input_was_answered_twice_nothing_shows_that_answers_repeat(answered: str) -> None:
    whole = ask(ModelSuspect(MODEL), QUESTIONS)
    (name,) = QUESTIONS.repeated
    values, repeats = dict(whole.values), dict(whole.repeats)
    if answered in ("neither", "second"):
        del values[name]
    if answered in ("neither", "first"):
        repeats = {name: np.full((1, 5), np.nan, np.float32)}
    answers = replace(whole, values=values, repeats=repeats)
    assert not answers.repeatable(1.0)
    result = judge({"one": FINGERPRINT}, answers)
    assert result.reason.startswith("no evidence: no input was answered twice")


# Files.


def some_answers() -> Answers:
    answers = ask(Failing(MODEL, raising(OSError("gone")), at=2), QUESTIONS)
    asked = QUESTIONS.ids[0]
    again = np.stack([answers.values[asked], np.full(5, np.nan, np.float32)])
    return replace(answers, repeats={asked: again})


@pytest.mark.parametrize("empty", [False, True])
def test_answers_are_read_as_they_were_written(tmp_path: Path, empty: bool) -> None:
    answers = some_answers()
    if empty:
        answers = replace(answers, values={}, repeats={})
    answers.write(tmp_path / "answers")
    read = Answers.read(tmp_path / "answers")
    assert (read.output, read.queries, read.failure) == (
        answers.output,
        answers.queries,
        answers.failure,
    )
    assert (read.identity, read.suspect) == (answers.identity, answers.suspect)
    for kept, found in ((answers.values, read.values), (answers.repeats, read.repeats)):
        assert list(found) == list(kept)
        for asked, rows in kept.items():
            np.testing.assert_array_equal(found[asked], rows)


def test_repeats_of_several_inputs_come_back_under_their_own_ids(tmp_path: Path) -> None:
    first, second = QUESTIONS.ids[:2]
    rows = {first: np.full((1, 5), 1, np.float32), second: np.full((2, 5), 2, np.float32)}
    values = {asked: np.zeros(5, np.float32) for asked in rows}
    for order in ((first, second), (second, first)):
        repeats = {asked: rows[asked] for asked in order}
        whole = Answers(output=OutputSpec(classes=5), values=values, repeats=repeats)
        whole.write(tmp_path / "answers")
        read = Answers.read(tmp_path / "answers")
        assert {asked: again.tolist() for asked, again in read.repeats.items()} == {
            asked: again.tolist() for asked, again in rows.items()
        }


def test_a_row_of_a_file_that_names_no_class_is_no_answer(tmp_path: Path) -> None:
    output = OutputSpec(classes=5, kind="top-k")
    rows = {name: np.eye(5, dtype=np.float32)[0] for name in QUESTIONS.ids}
    nothing = question_id(FINGERPRINT.bases[0])
    rows[nothing] = np.zeros(5, np.float32)
    Answers(output=output, values=rows, repeats={nothing: rows[nothing][None]}).write(
        tmp_path / "answers"
    )
    read = Answers.read(tmp_path / "answers")
    assert np.isnan(read.of(FINGERPRINT.bases[:1])).all()
    assert np.isfinite(read.of(FINGERPRINT.harmless)).all()
    assert not read.repeatable(1.0)


def rewritten(**changes: Any) -> Callable[[bytes], bytes]:
    """Changes tensors by name, or entries of the document."""

    def change(data: bytes) -> bytes:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        document = json.loads(header["__metadata__"]["answers"])
        for name, value in changes.items():
            if name in tensors:
                tensors[name] = value(tensors[name])
            else:
                document[name] = value(document[name])
        contiguous = {name: np.ascontiguousarray(rows) for name, rows in tensors.items()}
        return save(contiguous, metadata={"answers": json.dumps(document)})

    return change


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-4],
    "something else": lambda data: b"PK\x03\x04" + data,
    "no document": lambda data: save({"values": np.zeros((1, 5), np.float32)}),
    "fewer rows": rewritten(values=lambda rows: rows[1:]),
    "doubles": rewritten(values=lambda rows: rows.astype(np.float64)),
    "more classes": rewritten(values=lambda rows: np.hstack([rows, rows])),
    "no classes": rewritten(
        output=lambda output: {**output, "classes": 0},
        values=lambda rows: rows[:, :0],
        repeats=lambda rows: rows[:, :0],
    ),
    "NaN": rewritten(values=lambda rows: rows * np.float32(np.nan)),
    "twice the same": rewritten(ids=lambda ids: [ids[0], *ids[:-1]]),
    "repeats of nothing": rewritten(repeated=lambda _: {"a": 3, "b": -1}),
    "another kind": rewritten(output=lambda output: {**output, "kind": "scores"}),
    "no identity": rewritten(identity=lambda _: {}),
    "identity in a list": rewritten(identity=lambda _: [1]),
    "queries in words": rewritten(queries=lambda _: "many"),
    "a suspect in words": rewritten(suspect=lambda _: "me"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_file_of_answers_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "answers"
    some_answers().write(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(MalformedFile, match="answers"):
        Answers.read(path)


def test_answers_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure):
        some_answers().write(tmp_path / "missing" / "answers")
