"""The rivals as a command: one row for each network, and who is above all references."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import nn

from benchmarks.detection import rivals
from benchmarks.detection.rivals import CONFERRABLE, RARE, Asked
from fingerprint.lab import networks, training
from fingerprint.lab.modifications import quantised
from fingerprint.lab.training import Settings
from tests.benchmarks.detection.methods.cases import fine_tuned, independent, other_task, source
from tests.support.digits import digits

ARCH = "fingerprint.lab.networks:cnn"
METHODS = ["AKH", "IPGuard", "SAC", "ModelDiff", RARE]


@pytest.fixture(scope="module")
def references() -> dict[str, nn.Module]:
    return {
        f"r{seed}": training.trained(networks.cnn, digits(), Settings(epochs=2), seed=seed)
        for seed in (2, 3)
    }


def test_a_rounded_copy_is_above_the_references_by_every_method(
    references: dict[str, nn.Module],
) -> None:
    suspects = {"int8": quantised(source()), "stranger": independent(), "other task": other_task()}
    rows, _ = rivals.compared(source(), suspects, references, digits(), queries=12)
    assert [one.name for one in rows] == ["int8", "stranger", "other task", "r2", "r3"]
    assert [one.reference for one in rows] == [False, False, False, True, True]
    copy, _, other, *known = rows
    for method in METHODS:
        scores = [one.scores[method] for one in known]
        assert copy.scores[method] > max(scores)  # type: ignore[operator, type-var]
    silent = [method for method in METHODS if other.scores[method] is None]
    assert silent == ["AKH", "IPGuard", RARE], "labels of four classes mean something else"


def test_a_reference_never_chooses_what_it_is_asked(references: dict[str, nn.Module]) -> None:
    suspects, one = {"int8": quantised(source())}, {"r2": references["r2"]}
    (row, known), _ = rivals.compared(source(), suspects, one, digits(), queries=4)
    assert row.scores[RARE] is not None
    assert known.scores[RARE] is None, "nobody is left to choose"
    assert known.scores["AKH"] is not None


def test_with_students_of_the_owner_there_is_a_column_more(
    references: dict[str, nn.Module],
) -> None:
    taught = Settings(epochs=2)
    loss = training.from_logits(source())
    students = [
        training.trained(networks.cnn, digits(), taught, seed=seed, loss=loss) for seed in (7, 8, 9)
    ]
    suspects = {"student": students.pop(), "other task": other_task()}
    rows, _ = rivals.compared(
        source(), suspects, references, digits(), queries=12, students=students
    )
    scores = [one.scores[CONFERRABLE] for one in rows]
    assert scores[1] is None, "its classes mean something else"
    assert scores[0] > max(scores[2:])  # type: ignore[operator, type-var]
    alone, _ = rivals.compared(source(), suspects, {}, digits(), queries=12, students=students)
    assert [one.scores[CONFERRABLE] for one in alone] == [None, None]


def test_an_asterisk_marks_suspects_above_every_reference() -> None:
    rows = [
        Asked(name="a", reference=False, scores={"AKH": 0.5, "SAC": None}),
        Asked(name="b", reference=False, scores={"AKH": 0.4, "SAC": -0.1}),
        Asked(name="r", reference=True, scores={"AKH": 0.4, "SAC": None}),
    ]
    assert rivals.shown(rows).splitlines()[2:] == [
        "| a | 0.50 * | - |",
        "| b | 0.40 | -0.10 |",
        "| r (reference) | 0.40 | - |",
        "| highest of references | 0.40 | - |",
    ]
    assert "highest" not in rivals.shown(rows[:2])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    made = {"source": source(), "tuned": fine_tuned(), "other": independent()}
    for name, network in made.items():
        save_file(network.state_dict(), tmp_path / f"{name}.safetensors")
    images = digits()
    arrays = {
        name: getattr(images, name)[:200].transpose(0, 2, 3, 1)
        for name in ("train_images", "test_images")
    }
    labels = {name: getattr(images, name)[:200] for name in ("train_labels", "test_labels")}
    np.savez(tmp_path / "data.npz", **arrays, **labels)
    return {path.stem: str(path) for path in tmp_path.iterdir()}


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["rivals", *words])
    rivals.main()


def test_the_command_prints_the_table(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (files["source"], "--arch", ARCH, "--input-size", "1,16,16", "--data", files["data"])
    suspect = ("--suspect", files["tuned"], ARCH, "--reference", files["other"], "--queries", "4")
    run(monkeypatch, *words, *suspect)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| network | AKH | IPGuard | SAC | ModelDiff | rare labels |"
    assert lines[2].startswith(f"| {files['tuned']} | ")
    assert "* above all 1 references: one more like them is, in 50%" in lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected --suspect FILE"),
        (("--suspect", "a", "b", "c"), "expected --suspect FILE"),
        (("--suspect", "nowhere"), "nowhere"),
        (("--suspect", "{tuned}", "--queries", "1"), "expected at least 2, got 1"),
        (("--suspect", "{tuned}", "--queries", "201"), "at least 201 training pictures"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    words: tuple[str, ...],
    said: str,
    files: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = (files["source"], "--arch", ARCH, "--input-size", "1,16,16", "--data", files["data"])
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *common, *(word.format(**files) for word in words))
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
