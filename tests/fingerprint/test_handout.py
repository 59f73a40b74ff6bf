"""Pictures that are handed out say nothing but what they show, and all that is to be asked."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fingerprint.errors import EnvironmentFailure, UsageError
from fingerprint.handout import ANSWERS, MANIFEST, PICTURES, Handout
from fingerprint.network.spec import InputSpec
from fingerprint.questions import Questions, question_id, questions_for
from tests.support.fingerprints import make_fingerprint, make_model

MODEL = make_model(1)
QUESTIONS = questions_for({"secret name": make_fingerprint(MODEL, probes=12)})


def names_of(folder: Path) -> list[str]:
    return sorted(file.stem for file in (folder / PICTURES).iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Handout(QUESTIONS, "key").write(tmp_path / "out")
    return tmp_path / "out"


def test_every_input_is_there_as_it_would_be_sent_and_four_twice(folder: Path) -> None:
    handout = Handout(QUESTIONS, "key")
    assert names_of(folder) == list(handout.pictures)
    shown = {}
    for name in names_of(folder):
        with Image.open(folder / PICTURES / f"{name}.png") as picture:
            assert picture.info == {}
            shown[name] = np.asarray(picture, np.uint8).transpose(2, 0, 1)
    ids = {name: question_id(np.ascontiguousarray(one)) for name, one in shown.items()}
    assert ids == handout.pictures
    assert set(ids.values()) == set(QUESTIONS.ids)
    assert len(ids) == len(QUESTIONS.ids) + 4


def test_one_channel_is_a_grey_picture_and_what_is_no_picture_an_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (6, 1, 5, 4), dtype=np.uint8)
    real = rng.normal(size=(6, 7)).astype(np.float32)
    for name, spec, inputs in (
        ("grey", InputSpec(shape=(1, 5, 4)), grey),
        ("real", InputSpec(shape=(7,), kind="float", bounds=(-9, 9)), real),
    ):
        ids = tuple(map(question_id, inputs))
        handout = Handout(
            Questions(input=spec, inputs=inputs, ids=ids, wanted={}, repeated=()), "key"
        )
        handout.write(tmp_path / name)
        for stem, asked in handout.pictures.items():
            path = tmp_path / name / PICTURES / f"{stem}.{handout.format}"
            if handout.format == "npy":
                one = np.load(path, allow_pickle=False)
            else:
                with Image.open(path) as picture:
                    one = np.asarray(picture)[None]
            np.testing.assert_array_equal(one, inputs[ids.index(asked)])
    assert json.loads((tmp_path / "real" / MANIFEST).read_text())["bounds"] == [-9, 9]


def test_nothing_that_is_written_says_which_picture_is_which(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    handout = Handout(QUESTIONS, "key")
    assert manifest.keys() == {
        *("schema", "export", "commitment", "pictures", "format", "shape", "bounds", "how")
    }
    text = "".join(file.read_text() for file in (folder / MANIFEST, folder / ANSWERS))
    assert "key" not in text
    assert "secret name" not in text
    assert not any(asked in text for asked in QUESTIONS.ids)
    # The order of names, of writing, and of the table to be filled in are one.
    with (folder / ANSWERS).open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["file", "label"]
    assert [row[0] for row in rows] == [f"{name}.png" for name in handout.pictures]
    files = sorted((folder / PICTURES).iterdir(), key=lambda file: file.stat().st_mtime_ns)
    times = [file.stat().st_mtime_ns for file in sorted(files, key=lambda file: file.name)]
    assert times == sorted(times)


def test_another_key_draws_other_names_and_another_order() -> None:
    one, other = Handout(QUESTIONS, "key"), Handout(QUESTIONS, "another")
    assert one.pictures.keys().isdisjoint(other.pictures)
    assert one.id != other.id
    assert one.commitment != other.commitment
    orders = [list(dict.fromkeys(handout.pictures.values())) for handout in (one, other)]
    assert orders[0] != orders[1] != list(QUESTIONS.ids)
    assert Handout(QUESTIONS, "key").pictures == one.pictures


def test_a_spreadsheet_takes_no_name_for_a_number_or_a_date(folder: Path) -> None:
    for name in names_of(folder):
        assert set(name) <= set("bcdfghjklmnpqrstvwxz")
        assert len(name) == 12


def test_a_folder_is_new_and_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handout = Handout(QUESTIONS, "key")
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="not there yet"):
        handout.write(tmp_path / "there")
    with pytest.raises(EnvironmentFailure, match="No such file"):
        handout.write(tmp_path / "missing" / "out")

    def full(self: Path, *arguments: object, **options: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(EnvironmentFailure, match="No space left"):
        handout.write(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
