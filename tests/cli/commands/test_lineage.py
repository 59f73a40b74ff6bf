"""``fp lineage``: the graph of registered models, as text, document and picture."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from fingerprint.kinship import Kinship
from registry import Lineage, Pair
from registry.lineage import lineage_of
from tests.cli.fakes import HOSTILE


def graph(*, suffix: str = "") -> Lineage:
    """Returns a root with a child and a grandchild, a copy, and a stranger that is linked."""
    root, child, grandchild, copy, stranger = (
        f"{name}{suffix}" for name in ("root", "child", "grandchild", "copy", "stranger")
    )
    ratio = {"test": "harm_ratio", "depth": "l", "answer_kind": "logits", "ratio": 0.31}
    return lineage_of(
        Kinship(
            parents={child: root, grandchild: child},
            from_scratch=frozenset({root}),
            digests={root: "0", child: "1", grandchild: "2", copy: "0", stranger: "3"},
        ),
        [
            Pair(source=child, other=stranger, ratios=(ratio,), verdict="derived"),
            Pair(source=stranger, other=child, ratios=(ratio,), verdict="derived"),
        ],
    )


@pytest.fixture
def lined(script: Any) -> Any:
    script.lineage = graph()
    return script


def test_children_stand_below_their_parents(fp: Any, lined: Any) -> None:
    result = fp("lineage")
    assert result.exit_code == 0
    tree = result.stdout.partition("\n\n")[0].splitlines()
    lines = {line.split(" (")[0].split()[-1]: line for line in tree}
    columns = [lines[name].index(name) for name in ("root", "child", "grandchild")]
    assert columns == sorted(set(columns))
    assert "(trained from scratch)" in lines["root"]
    assert "(same weights as root)" in lines["copy"]


def test_links_and_contradictions_follow_the_tree(fp: Any, lined: Any) -> None:
    rows = [line.split() for line in fp("lineage").stdout.splitlines()]
    assert ["child", "stranger", "derived", "0.31", "both", "ways"] in rows
    assert ["Alike,", "and", "not", "declared", "kin:", "1"] in rows
    assert not any("Contradictions:" in row for row in rows)
    text = " ".join(word for row in rows for word in row)
    assert "declare it: fp register --again stranger --parent child" in text


def test_what_answers_deny_stands_apart_from_what_nobody_declared(fp: Any, script: Any) -> None:
    ratio = {"test": "harm_ratio", "depth": "l", "answer_kind": "logits", "ratio": 0.95}
    script.lineage = lineage_of(
        Kinship(parents={"child": "root"}, digests={"root": "0", "child": "1"}),
        [Pair(source="root", other="child", ratios=(ratio,), verdict="independent")],
    )
    text = fp("lineage").stdout
    assert "Contradictions: 1" in text
    assert "Alike" not in text


def test_json_is_the_graph(fp: Any, lined: Any) -> None:
    document = json.loads(fp("lineage", "--json").stdout)
    assert document == {"schema": 2, **graph().to_dict()}


def test_a_name_is_passed_on_and_an_unknown_one_is_a_usage_error(fp: Any, script: Any) -> None:
    assert fp("lineage", "ours").exit_code == 0
    assert script.named("lineage") == [{"name": "ours"}]
    result = fp("lineage", "nobody")
    assert result.exit_code == 2
    assert "no registered model is named 'nobody'" in result.stderr


def test_a_registry_without_models_has_no_lineage(fp: Any) -> None:
    result = fp("lineage")
    assert result.exit_code == 0
    assert result.stdout.startswith("No models are registered")


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_drawing_is_a_picture(fp: Any, lined: Any, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"lineage.{suffix}"
    result = fp("lineage", "-o", str(path))
    assert result.exit_code == 0
    assert f"drew {path}" in result.stderr
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)


def test_a_drawing_needs_a_known_kind_a_folder_and_matplotlib(
    fp: Any, lined: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fp("lineage", "-o", str(tmp_path / "lineage.txt")).exit_code == 2
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = fp("lineage", "-o", str(tmp_path / "lineage.png"))
    assert result.exit_code == 5
    assert "-o: needs matplotlib; pip install 'nullprint[plot]'" in result.stderr
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert fp("lineage", "-o", str(tmp_path / "none" / "lineage.png")).exit_code == 5
    assert lined.named("lineage") == []
    assert not list(tmp_path.iterdir())


def test_an_empty_lineage_can_be_drawn(fp: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert fp("lineage", "-o", str(tmp_path / "empty.svg")).exit_code == 0


def test_hostile_names_reach_neither_the_terminal_nor_the_picture(
    fp: Any, script: Any, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    script.lineage = graph(suffix=f"{HOSTILE}$x_1")
    result = fp("lineage", "-o", str(tmp_path / "hostile.svg"))
    assert result.exit_code == 0
    for forbidden in ("\x1b[31m", "\u202e", "\nsecond"):
        assert forbidden not in result.stdout
    assert (tmp_path / "hostile.svg").stat().st_size > 1000


def test_of_many_links_a_few_are_shown_and_the_rest_counted(fp: Any, script: Any) -> None:
    names = [f"model {number}" for number in range(30)]
    pairs = [Pair(source=names[0], other=name, ratios=(), verdict="same") for name in names[1:]]
    script.lineage = lineage_of(Kinship(digests={name: name for name in names}), pairs)
    assert fp("lineage").stdout.count("and 9 more; --json has all") == 2
