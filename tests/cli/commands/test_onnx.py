"""``fp verify`` and ``fp register`` take an ONNX file, where its extra is installed."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fingerprint.formats.weights_file import is_onnx
from tests.support.fingerprints import make_model

GRAPH = b"\x08\x08\x12\x07pytorch" + bytes(64)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "suspect.onnx"
    path.write_bytes(GRAPH)
    return path


def test_without_the_extra_one_line_says_how_to_get_it(
    fp: Any, script: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> Any:
        return None if name in ("onnx", "onnxruntime") else known(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    result = fp("verify", str(file))
    assert result.exit_code == 5
    assert "pip install 'nullprint[onnx]'" in result.stderr
    assert result.stderr.count("\n") == 1
    assert script.named("verify") == []


@pytest.mark.parametrize("command", ["verify", "register"])
def test_how_it_is_fed_reaches_its_loader(
    fp: Any, script: Any, file: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    loader = {"verify": "load_onnx", "register": "load_onnx_model"}[command]

    def load(path: Path, **options: Any) -> Any:
        asked.append({"path": path, **options})
        return replace(make_model(), asked_only="it rounds")

    monkeypatch.setattr(f"fingerprint.suspects.{loader}", load)
    options = "--input x --output 3 --layout nhwc --channels bgr --mean 127.5 --std 127.5"
    assert fp(command, str(file), *options.split()).exit_code == 0
    (found,) = asked
    assert found.pop("device", "cpu") == "cpu"
    assert found == {
        "path": file,
        "input": "x",
        "output": 3,
        "layout": "nhwc",
        "channels": "bgr",
        "mean": (127.5,),
        "std": (127.5,),
        "bounds": None,
        "input_size": None,
        "follow_symlinks": False,
    }
    if command == "register":  # no gradients can be had of it
        assert script.named("register")[0]["answers_only"] is True


def test_a_model_that_is_renewed_without_its_file_is_fed_as_it_was(fp: Any, script: Any) -> None:
    result = fp("register", "--again", "ours", "--layout", "nhwc")
    assert result.exit_code == 2
    assert "--layout: expected FILE with it" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--arch", "timm:resnet18"], "--arch: an ONNX file is a whole network"),
        (["--key", "ema"], "--key: an ONNX file is a whole network"),
        (["--device", "cuda"], "--device: ONNX files are asked on the CPU"),
        (["--layout", "chw"], "nchw"),
        (["--channels", "grey"], "rgb"),
    ],
)
def test_what_does_not_fit_such_a_file_is_a_usage_error(
    fp: Any, file: Path, options: list[str], said: str
) -> None:
    result = fp("verify", str(file), *options)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("option", ["--input=x", "--layout=nchw", "--channels=bgr"])
def test_what_is_for_such_a_file_alone_is_a_usage_error_with_others(fp: Any, option: str) -> None:
    result = fp("verify", "suspect.pt", option)
    assert result.exit_code == 2
    assert f"{option.partition('=')[0]} is for ONNX files" in result.stderr


@pytest.mark.parametrize(
    ("name", "data", "onnx"),
    [
        ("any.bin", GRAPH, True),
        ("any.onnx", b"\x08\x08\x22\x05a.b.c", True),
        ("any.bin", b"\x08\x08\x22\x05a.b.c", False),
        ("any.onnx", b"PK\x03\x04" + bytes(60), False),
        ("any.onnx", b"<!DOCTYPE html><html>", False),
        ("any.onnx", b"version https://git-lfs.github.com/spec/v1\n", False),
        ("any.onnx", b"", True),
    ],
)
def test_its_content_says_whether_a_file_is_one_and_its_name_only_what_that_leaves_open(
    name: str, data: bytes, onnx: bool, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert is_onnx(str(path)) is onnx


def test_a_folder_and_a_file_that_is_missing_are_left_to_their_readers(tmp_path: Path) -> None:
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    assert not is_onnx(str(folder))
    assert is_onnx(str(tmp_path / "missing.onnx"))
