"""What is to be asked is a value: written whole, read back, and believed in nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from fingerprint.errors import EnvironmentFailure, IncompatibleModel, MalformedFile, UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.probes.probe import Fingerprint
from fingerprint.questions import Questions, question_id, questions_for
from tests.support.fingerprints import make_fingerprint, make_model

ONE, TWO = (make_fingerprint(make_model(seed)) for seed in (1, 2))


@pytest.fixture
def questions() -> Questions:
    return questions_for({"one": ONE, "two": TWO})


def everything(fingerprint: Fingerprint) -> set[str]:
    groups = (
        fingerprint.bases,
        fingerprint.control_bases,
        fingerprint.harmless,
        fingerprint.controls,
    )
    return {question_id(image) for group in groups for image in group}


def test_the_panel_is_asked_once_of_all_that_have_one() -> None:
    rows = np.zeros((20, 5), np.float32)
    one, two = (replace(fingerprint, panel_answers=rows) for fingerprint in (ONE, TWO))
    ids = {question_id(image) for image in one.panel}
    questions = questions_for({"one": one, "two": two})
    assert len(ids) == 20
    assert all(ids <= set(wanted) for wanted in questions.wanted.values())
    assert len(questions.ids) == len(questions_for({"one": ONE, "two": TWO}).ids) + 20


def test_each_input_is_asked_once_and_each_candidate_says_which_it_wants() -> None:
    again = questions_for({"one": ONE, "copy": ONE, "two": TWO})
    assert len(again.ids) == len(set(again.ids)) == len(again.inputs)
    assert {name: set(ids) for name, ids in again.wanted.items()} == {
        "one": everything(ONE),
        "copy": everything(ONE),
        "two": everything(TWO),
    }
    assert again.repeated == (question_id(ONE.probes[0].harmless),)
    assert [question_id(image) for image in again.inputs] == list(again.ids)


def test_the_domain_is_asked_whatever_a_model_subtracts() -> None:
    spec = replace(ONE.input, mean=(0.5,), std=(0.25,))
    shifted = questions_for({"one": replace(ONE, input=spec)})
    assert shifted.input == InputSpec(shape=ONE.input.shape)
    assert shifted.digest == questions_for({"other": ONE}).digest


def test_the_digest_is_that_of_what_is_asked(questions: Questions) -> None:
    assert questions.digest != questions_for({"one": ONE}).digest
    assert questions.digest != replace(questions, repeated=()).digest


def test_nobody_or_different_inputs_cannot_be_asked_about() -> None:
    with pytest.raises(UsageError, match="at least one"):
        questions_for({})
    with pytest.raises(IncompatibleModel, match="'wide' takes inputs pixels:3x6x6"):
        questions_for({"one": ONE, "wide": make_fingerprint(make_model(shape=(3, 6, 6)))})


def test_questions_are_read_as_they_were_written(questions: Questions, tmp_path: Path) -> None:
    questions.write(tmp_path / "asked")
    assert [path.name for path in tmp_path.iterdir()] == ["asked"]
    read = Questions.read(tmp_path / "asked")
    assert (read.ids, read.repeated) == (questions.ids, questions.repeated)
    assert (read.wanted, read.input) == (questions.wanted, questions.input)
    assert read.digest == questions.digest
    np.testing.assert_array_equal(read.inputs, questions.inputs)


def test_what_is_there_is_not_written_over(questions: Questions, tmp_path: Path) -> None:
    questions.write(tmp_path / "asked")
    with pytest.raises(UsageError, match="not there yet"):
        questions.write(tmp_path / "asked")
    with pytest.raises(EnvironmentFailure):
        questions.write(tmp_path / "missing" / "asked")


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "questions.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return edit


def with_inputs(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        inputs = questions_for({"one": ONE, "two": TWO}).inputs
        (folder / "inputs.safetensors").write_bytes(save({"inputs": change(inputs)}))

    return edit


HOSTILE: dict[str, Callable[[Path], None]] = {
    "no json": lambda folder: (folder / "questions.json").write_text("{") and None,
    "a list": lambda folder: (folder / "questions.json").write_text("[]") and None,
    "deep": lambda folder: (folder / "questions.json").write_text("[" * 10**5) and None,
    "bytes": lambda folder: (folder / "questions.json").write_bytes(b"\xff\xfe") and None,
    "no tensors": lambda folder: (folder / "inputs.safetensors").write_bytes(b"x" * 64) and None,
    "other inputs": with_inputs(lambda inputs: 255 - inputs),
    "a changed order": with_inputs(lambda inputs: inputs[::-1].copy()),
    "floats": with_inputs(lambda inputs: inputs.astype(np.float32)),
    "fewer": with_inputs(lambda inputs: inputs[1:]),
    "another shape": with_inputs(lambda inputs: inputs.reshape(len(inputs), -1)),
    "another name": lambda folder: (
        (folder / "inputs.safetensors").write_bytes(save({"x": ONE.bases})) and None
    ),
    "no ids": edited(lambda document: document.pop("ids") and None),
    "a stranger's id": edited(lambda document: document["repeated"].append("0" * 32)),
    "wanted by nobody": edited(lambda document: document.update(wanted=[])),
    "wanted elsewhere": edited(lambda document: document["wanted"].update(one=["0" * 32])),
    "another digest": edited(lambda document: document.update(digest="0" * 64)),
    "a negative shape": edited(lambda document: document["input"].update(shape=[-1, 4, 4])),
    "no repeat": edited(lambda document: document.update(repeated=[])),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_was_changed_is_refused(
    questions: Questions, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    questions.write(tmp_path / "asked")
    change(tmp_path / "asked")
    with pytest.raises(MalformedFile, match="asked"):
        Questions.read(tmp_path / "asked")


def test_a_folder_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        Questions.read(tmp_path / "nowhere")


def test_floats_outside_the_bounds_are_refused(tmp_path: Path) -> None:
    inputs = np.array([[0.5, 2.0]], np.float32)
    ids = (question_id(inputs[0]),)
    spec = InputSpec(shape=(2,), kind="float")
    Questions(input=spec, inputs=inputs, ids=ids, wanted={}, repeated=()).write(tmp_path / "asked")
    with pytest.raises(MalformedFile, match=r"from 0\.0 to 1\.0"):
        Questions.read(tmp_path / "asked")
