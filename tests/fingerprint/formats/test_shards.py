"""Safetensors in several files: the same weights as in one, and indexes that mean harm."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fingerprint.errors import IncompatibleModel, InputRefused, MalformedFile, UnsafeFile
from fingerprint.formats import shards as room
from fingerprint.formats.weights_file import read_weights
from fingerprint.network import load_model
from tests.fingerprint.network.networks import SMALL, equal, small

INDEX = "model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def write(folder: Path, places: Any, **more: Any) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": places, **more}))


def placed() -> dict[str, str]:
    """Which tensor lies where: alternately in one file and the other."""
    return {name: (ONE, TWO)[i % 2] for i, name in enumerate(small().state_dict())}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "cats"
    path.mkdir()
    state = small().state_dict()
    for file in (ONE, TWO):
        save_file({key: state[key] for key, at in placed().items() if at == file}, path / file)
    write(path, placed(), metadata={"total_size": 1})
    return path


def refused(folder: Path, kind: type[InputRefused], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        read_weights(str(folder))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_the_shards_are_the_weights_of_one_file(folder: Path, tmp_path: Path) -> None:
    weights = read_weights(str(folder))
    assert equal(weights.entries[0].tensors, small().state_dict())
    save_file(small().state_dict(), tmp_path / "one.safetensors")
    one = load_model(tmp_path / "one.safetensors", arch=SMALL, input_size=(3, 8, 8))
    for path in (folder, folder / INDEX):
        several = load_model(path, arch=SMALL, input_size=(3, 8, 8))
        assert several.digest == one.digest
        assert several.file is not None
        assert several.file.path == str(folder / INDEX)
        assert several.file.size == sum((folder / file).stat().st_size for file in (ONE, TWO))


def test_their_digest_is_that_of_sha256sums_lines(folder: Path) -> None:
    digests = [hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in (ONE, TWO)]
    lines = f"{digests[0]}  {ONE}\n{digests[1]}  {TWO}\n"
    assert read_weights(str(folder)).file.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_a_key_chooses_among_the_weights_of_all_shards(folder: Path) -> None:
    write(folder, {f"{part}.w": file for part, file in (("a", ONE), ("b", TWO))})
    save_file({"a.w": torch.zeros(2)}, folder / ONE)
    save_file({"b.w": torch.ones(2)}, folder / TWO)
    (entry,) = read_weights(str(folder), key="b").entries
    assert {name: float(tensor.sum()) for name, tensor in entry.tensors.items()} == {"w": 2}


def test_a_shard_that_is_not_there_is_named(folder: Path) -> None:
    (folder / TWO).unlink()
    refused(folder, MalformedFile, rf"expected 2 shards, missing {TWO}; download")


def test_a_tensor_that_is_not_there_is_named(folder: Path) -> None:
    write(folder, placed() | {"more.weight": TWO})
    refused(folder, MalformedFile, rf"{TWO} lacks more\.weight; download")


def test_a_tensor_that_is_there_twice_is_named(folder: Path) -> None:
    save_file(small().state_dict(), folder / TWO)
    refused(folder, MalformedFile, rf"{TWO} holds .*0\.weight.*as {ONE} does")


def test_a_tensor_that_the_index_does_not_name_is_named(folder: Path) -> None:
    write(folder, {key: at for key, at in placed().items() if key != "0.bias"})
    refused(folder, MalformedFile, r"holds 0\.bias, which the index does not name")


@pytest.mark.parametrize("other", ["model.safetensors", "model-00003-of-00003.safetensors"])
def test_other_weights_beside_the_shards_are_not_passed_over(folder: Path, other: str) -> None:
    save_file(small().state_dict(), folder / other)
    refused(folder, IncompatibleModel, f"{INDEX}, {other}; .*name the one that is meant")
    assert read_weights(str(folder / INDEX)).file.format == "safetensors"


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "a\\b.safetensors",
        "C:x.safetensors",
        ".safetensors",
        "..",
        "",
        "x\0.safetensors",
        "x\x1b[2J.safetensors",
        "x.bin",
        "x" * 4000 + ".safetensors",
        None,
        7,
        ["a.safetensors"],
    ],
)
def test_an_index_names_plain_files_beside_it(folder: Path, name: Any) -> None:
    save_file(small().state_dict(), folder.parent / "outside.safetensors")
    write(folder, placed() | {"0.weight": name})
    refused(folder, UnsafeFile, r"expected the name of a \.safetensors file beside the index")


def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / TWO).rename(tmp_path / TWO)
    (folder / TWO).symlink_to(tmp_path / TWO)
    refused(folder, UnsafeFile, "--follow-symlinks")
    with pytest.raises(UnsafeFile, match="--follow-symlinks"):
        read_weights(str(folder / INDEX))
    followed = read_weights(str(folder), follow_symlinks=True)
    assert str(tmp_path / TWO) in followed.warnings[0]


def test_a_shard_that_is_a_folder_is_refused(folder: Path) -> None:
    (folder / TWO).unlink()
    (folder / TWO).mkdir()
    refused(folder, UnsafeFile, "got a directory")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{", MalformedFile),
        ("[]", MalformedFile),
        ("{}", MalformedFile),
        ('{"weight_map": {}}', MalformedFile),
        ('{"weight_map": []}', MalformedFile),
        (f'{{"weight_map": {{"a": "{ONE}", "a": "{TWO}"}}}}', MalformedFile),
        ("[" * 100_000, UnsafeFile),
        ("," * 300_000, UnsafeFile),
        (" " * (8 * 2**20 + 1), UnsafeFile),
        (
            json.dumps({"weight_map": {f"{i}": f"{i}.safetensors" for i in range(1001)}}),
            UnsafeFile,
        ),
        ("\xff", MalformedFile),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_hostile_index_is_refused_in_one_line(
    folder: Path, text: str, kind: type[InputRefused]
) -> None:
    (folder / INDEX).write_bytes(text.encode("latin1"))
    refused(folder, kind, INDEX)


def test_shards_are_as_large_together_as_one_file_may_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum((folder / file).stat().st_size for file in (ONE, TWO))
    monkeypatch.setattr(room, "MAX_FILE_BYTES", size - 1)
    refused(folder, UnsafeFile, f"at most {size - 1} bytes, got {size}")


def test_sparse_shards_of_any_size_are_not_read(folder: Path) -> None:
    with (folder / TWO).open("r+b") as stream:
        stream.truncate(2**40)
    refused(folder, UnsafeFile, "expected shards of at most")
