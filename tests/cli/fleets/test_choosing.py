"""Which models a folder holds and a file lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.fleets.choosing import in_folder, in_list
from fingerprint.errors import UsageError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"x")


def test_every_file_and_folder_is_a_model_but_what_lies_beside_them(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "audit.db.solved").mkdir()
    _touch(tmp_path, "audit.db", "audit.db-wal")
    _touch(tmp_path, "b.pt", "a.safetensors", "weights.dat", "README.md", "LICENSE", ".hidden")
    choices, left_out = in_folder(tmp_path)
    assert [one.given for one in choices] == ["a.safetensors", "b.pt", "hub", "weights.dat"]
    assert all(one.model == str(tmp_path / one.given) for one in choices)
    registry = ["audit.db", "audit.db-wal", "audit.db.solved"]
    assert left_out == [".hidden", "LICENSE", "README.md", *registry]


def test_a_folder_without_models_is_told(tmp_path: Path) -> None:
    _touch(tmp_path, "README.md")
    with pytest.raises(UsageError, match="found none"):
        in_folder(tmp_path)
    for missing in (tmp_path / "README.md", tmp_path / "none"):
        with pytest.raises(UsageError, match="expected a folder"):
            in_folder(missing)


ENTRIES = (
    ("a.pt", "", {"arch": "timm:resnet18"}),
    ("sub/b.pt", "second", {"parent": "a"}),
)


def _csv(path: Path) -> None:
    path.write_text("\ufeffmodel,name,arch,parent\na.pt,,timm:resnet18,\nsub/b.pt,second,,a\n")


def _jsonl(path: Path) -> None:
    lines = [
        {"model": "a.pt", "arch": "timm:resnet18"},
        {"model": "sub/b.pt", "name": "second", "parent": "a"},
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)))


@pytest.mark.parametrize("write", [_csv, _jsonl])
def test_a_list_says_the_same_in_each_form(tmp_path: Path, write: object) -> None:
    path = tmp_path / f"models.{'csv' if write is _csv else 'jsonl'}"
    write(path)  # type: ignore[operator]
    found = in_list(path)
    assert [(one.given, one.name, dict(one.options)) for one in found] == list(ENTRIES)
    assert found[1].model == str(tmp_path / "sub" / "b.pt")


def test_titles_of_toml_are_names(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(
        '[first]\nmodel = "a.pt"\ninput-size = [3, 32, 32]\n[second]\nmodel = "https://x.example/m"'
    )
    first, second = in_list(path)
    assert (first.name, dict(first.options)) == ("first", {"input-size": [3, 32, 32]})
    assert second.model == "https://x.example/m"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "model\n", "found none"),
        ("m.csv", "file\na.pt\n", "a text 'model'"),
        ("m.csv", "model,arch\na.pt\n", "as many cells"),
        ("m.csv", "model,arch\na.pt,b,c\n", "as many cells"),
        ("m.csv", 'model\n"a\n', "expected csv"),
        ("m.jsonl", "[1]", "a text 'model'"),
        ("m.jsonl", '{"model": 3}', "a text 'model'"),
        ("m.jsonl", '{"model": "a", "name": 3}', "as 'name'"),
        ("m.jsonl", "[" * 100_000, "expected jsonl"),
        ("m.toml", "model = 1", "a text 'model'"),
        ("m.toml", "[a", "expected toml"),
        ("m.xlsx", "x", ".csv, .jsonl"),
    ],
)
def test_a_list_that_is_none_is_told_in_one_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="--list") as caught:
        in_list(tmp_path / name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
