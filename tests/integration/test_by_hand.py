"""Pictures out, answers back: the verdict is that of the model itself, showing as little.

A registered network, its rounded copy and a stranger answer an export in four ways, each written
down as people do; the same models are verified directly, narrowed to the same kind of answer.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from cli.output import json_text
from fingerprint.answers import ask
from fingerprint.lab.modifications import quantised
from fingerprint.network.spec import AnswerKind
from fingerprint.questions import question_id, questions_for
from fingerprint.suspects import ModelSuspect, Narrowed
from registry import Registry
from tests.support.digits import network
from tests.support.extracted import SEED, loaded, model_of

Rows = NDArray[np.float32]
Written = list[list[object]]


def fp(registry: Path, *arguments: str | Path) -> Any:
    return CliRunner().invoke(
        app, [str(one) for one in arguments], prog_name="fp", env={"FP_REGISTRY": str(registry)}
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("by-hand") / "registry.db"
    # Whichever test comes first, the seed is one.
    with mock.patch("secrets.token_hex", return_value=SEED), Registry(path) as opened:
        opened.register(model_of("cnn"), name="ours")
    return path


@pytest.fixture(scope="module")
def export(registry: Path) -> Path:
    folder = registry.parent / "pictures"
    result = fp(registry, "probes", "export", "ours", "-o", folder)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def shown(export: Path) -> dict[str, NDArray[np.uint8]]:
    """What a person shows to a model."""
    found = {}
    for file in sorted((export / "pictures").iterdir()):
        with Image.open(file) as picture:
            found[file.name] = np.asarray(picture, np.uint8)[None]
    return found


@pytest.fixture
def opened(registry: Path) -> Iterator[Registry]:
    with Registry(registry) as there:
        yield there


SUSPECTS: dict[str, Callable[[], Any]] = {
    "itself": lambda: model_of("cnn"),
    "int8": lambda: loaded(quantised(network("cnn"))),
    "stranger": lambda: model_of("cnn", 1),
}


def columns(names: list[str], rows: Rows) -> Written:
    return [["file", *range(10)], *([n, *map(float, r)] for n, r in zip(names, rows, strict=True))]


def rounded(names: list[str], rows: Rows) -> Written:
    return [[n, *(f"{v:.3f}" for v in r)] for n, r in zip(names, rows, strict=True)]


def ranked(names: list[str], rows: Rows) -> Written:
    return [
        [name, int(label), float(row[label])]
        for name, row in zip(names, rows, strict=True)
        for label in np.argsort(-row)[:3]
        if row[label] > 0
    ]


def labels(names: list[str], rows: Rows) -> Written:
    return [[name, f"digit {row.argmax()}"] for name, row in zip(names, rows, strict=True)]


KINDS: dict[str, tuple[AnswerKind, dict[str, int], Callable[[list[str], Rows], Written]]] = {
    "logits": ("logits", {}, columns),
    "probabilities": ("probabilities", {"decimals": 3}, rounded),
    "top-3": ("top-k", {"k": 3}, ranked),
    "labels": ("labels", {}, labels),
}
EXPECTED = {"itself": "same", "int8": "derived", "stranger": "independent"}
"""Of logits; coarser answers of a stranger may leave it open, by the registry's seed."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suspect", SUSPECTS)
def test_the_verdict_is_that_of_the_model_asked_directly(
    registry: Path,
    opened: Registry,
    shown: dict[str, NDArray[np.uint8]],
    tmp_path: Path,
    suspect: str,
    kind: str,
) -> None:
    shape, options, write = KINDS[kind]
    narrowed = Narrowed(ModelSuspect(SUSPECTS[suspect]()), shape, **options)
    direct = opened.verify(narrowed, against=["ours"])
    # The very numbers: in another batch the last decimal may come out differently.
    given = dict(ask(narrowed, questions_for({"ours": opened.fingerprint("ours")})).values)
    twins = [one for one in shown.values() if question_id(one) not in given]
    given |= zip(map(question_id, twins), narrowed.answer(np.stack(twins)), strict=True)
    rows = np.stack([given[question_id(one)] for one in shown.values()])
    path = tmp_path / "answers.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(write(list(shown), rows))
    result = fp(registry, "verify", path, "--json")
    document = json.loads(result.stdout)
    assert (document["verdict"], document["best"]) == (direct.verdict, direct.best)
    if kind == "logits":
        assert direct.verdict == EXPECTED[suspect]
    elif kind != "labels":
        assert (direct.best == "ours") is (suspect != "stranger")
    assert result.exit_code == (4 if direct.verdict == "inconclusive" else 0)
    (by_hand,) = document["candidates"]
    (asked,) = json.loads(json_text(direct.to_dict()))["candidates"]
    for fact in ("answer_kind", "harm_ratio", "p_value", "margin", "reason"):
        assert by_hand[fact] == asked[fact]
    assert document["suspect"]["answered"] == len(shown)
    # What matches needs no twins, and of labels they say nothing.
    wanted = len(shown) - len(twins) * (direct.best is not None or kind == "labels")
    assert document["queries"] == wanted


def written(
    path: Path, shown: dict[str, NDArray[np.uint8]], change: Callable[[Written], Written]
) -> Path:
    rows = ModelSuspect(model_of("cnn")).answer(np.stack(list(shown.values())))
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream, delimiter=";")
        body = columns(list(shown), rows)
        writer.writerows(
            [str(cell).replace(".", ",") if at else cell for at, cell in enumerate(row)]
            for row in change(body)
        )
    return path


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda rows: rows[:1] + rows[:0:-1], "same"),
        (lambda rows: rows + rows[1:40], "same"),
        (lambda rows: rows[:12], "inconclusive"),
        (lambda rows: [*rows, [*rows[1][:3], *rows[2][3:]]], "inconclusive"),
    ],
    ids=["other order", "some twice", "few", "one twice and otherwise"],
)
def test_what_people_lose_or_write_twice(
    registry: Path,
    shown: dict[str, NDArray[np.uint8]],
    tmp_path: Path,
    change: Callable[[Written], Written],
    verdict: str,
) -> None:
    result = fp(registry, "verify", written(tmp_path / "a.csv", shown, change), "--json")
    assert json.loads(result.stdout)["verdict"] == verdict
    assert result.exit_code == (4 if verdict == "inconclusive" else 0)


def test_what_is_missing_is_no_evidence_and_the_rest_still_is(
    registry: Path, opened: Registry, shown: dict[str, NDArray[np.uint8]], tmp_path: Path
) -> None:
    """All probes that are left equal the recorded ones, and that takes all of them."""
    fingerprint = opened.fingerprint("ours")
    asked = {name: question_id(one) for name, one in shown.items()}
    panel = {question_id(one) for one in fingerprint.panel[20:]}
    probe = question_id(fingerprint.harmless[0])
    for lost, verdict in ((panel, "same"), ({probe}, "derived")):
        kept = {name: one for name, one in shown.items() if asked[name] not in lost}
        result = fp(registry, "verify", written(tmp_path / "a.csv", kept, list), "--json")
        assert json.loads(result.stdout)["verdict"] == verdict
        assert (
            f"{len(shown) - len(kept)} of {len(shown)} pictures were not answered" in result.stderr
        )


def test_policies_and_the_ways_out_are_those_of_any_suspect(
    registry: Path, export: Path, shown: dict[str, NDArray[np.uint8]], tmp_path: Path
) -> None:
    answers = written(tmp_path / "a.csv", shown, lambda rows: rows)
    assert fp(registry, "verify", answers, "--expect", "ours").exit_code == 0
    assert fp(registry, "verify", answers, "--forbid", "ours").exit_code == 1
    empty = fp(registry, "verify", export / "answers.csv")
    assert (empty.exit_code, empty.stdout) == (5, "")
    assert "no picture was answered" in empty.stderr
    other = tmp_path / "other.csv"
    other.write_text("cat.png,1\n")
    refused = fp(registry, "verify", other)
    assert (refused.exit_code, refused.stderr.count("\n")) == (3, 1)
    with Registry(registry) as opened:
        opened.check()
