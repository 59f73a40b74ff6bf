"""Files that are code are told by the names in their archive."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch

from fingerprint.formats.program_file import program_kind


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name in names:
            made.writestr(name, "x")
    return path


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("m/data.pkl", "m/code/__torch__.py", "m/constants.pkl"), "torchscript"),
        (("m/archive_format", "m/models/model.json"), "pt2"),
        (("m/data/weights/weight_0", "m/byteorder"), "pt2"),
        (("serialized_exported_program.json", "version"), "pt2"),
        (("m/data.pkl", "m/data/0", "m/version"), None),
        (("metadata.json", "config.json", "model.weights.h5"), "keras"),
        (("saved_model.pb", "metadata.json"), None),
        ((), None),
    ],
)
def test_the_kind_is_told_by_names(
    names: tuple[str, ...], kind: str | None, tmp_path: Path
) -> None:
    assert program_kind(str(archive(tmp_path / "any", *names))) == kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x1c\0\0\0TFL3" + bytes(64), "tflite"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "keras-h5"),
        (b'<?xml version="1.0"?>\n<net name="x" version="11">', "openvino"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', None),
        (b"", None),
    ],
)
def test_the_kind_is_told_by_the_first_bytes(data: bytes, kind: str | None, tmp_path: Path) -> None:
    (tmp_path / "any.bin").write_bytes(data)
    assert program_kind(str(tmp_path / "any.bin")) == kind


def test_weights_are_no_code_whatever_they_are_called(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(3)}, tmp_path / "weights.pt2")
    assert program_kind(str(tmp_path / "weights.pt2")) is None


def test_what_cannot_be_read_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    whole = archive(tmp_path / "whole", "m/archive_format")
    cut = tmp_path / "cut"
    cut.write_bytes(whole.read_bytes()[:-10])
    os.mkfifo(tmp_path / "fifo")
    for path in (cut, tmp_path / "fifo", tmp_path, tmp_path / "missing"):
        assert program_kind(str(path)) is None


def test_a_table_of_contents_that_claims_too_much_is_not_parsed(tmp_path: Path) -> None:
    path = archive(tmp_path / "large", "m/archive_format")
    data = bytearray(path.read_bytes())
    end = len(data) - 22
    data[end + 12 : end + 16] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    assert program_kind(str(path)) is None
