"""``fp verify`` takes a file that is code, and no other command does."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fingerprint.errors import MalformedFile, UnsafeFile
from fingerprint.formats.weights_file import read_weights
from tests.support.fingerprints import make_model

MEMBERS = {
    "torchscript": ("data.pkl", "code/__torch__.py", "constants.pkl"),
    "pt2": ("archive_format", "models/model.json", "data/weights/weight_0"),
}


@pytest.fixture(params=MEMBERS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "suspect.any"
    with zipfile.ZipFile(path, "w") as archive:
        for name in MEMBERS[request.param]:
            archive.writestr(f"model/{name}", request.param)
    return path


@pytest.mark.parametrize(
    ("how", "more"),
    [
        ([], {}),
        (["--no-sandbox"], {"sandbox": False}),
        (["--time-limit", "60"], {"time_limit": 60}),
    ],
)
def test_it_reaches_its_loader_and_without_a_sandbox_only_where_that_is_said(
    fp: Any,
    file: Path,
    how: list[str],
    more: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []

    def load(path: Path, **options: Any) -> Any:
        asked.append({"path": path, **options})
        return make_model()

    monkeypatch.setattr("fingerprint.suspects.load_program", load)
    options = "--output 3 --layout nhwc --channels bgr --mean 127.5 --input-size 3,8,8"
    assert fp("verify", str(file), *options.split(), *how).exit_code == 0
    (found,) = asked
    assert found == {
        **more,
        "path": file,
        "input": None,
        "output": 3,
        "layout": "nhwc",
        "channels": "bgr",
        "mean": (127.5,),
        "std": None,
        "bounds": None,
        "input_size": (3, 8, 8),
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--arch", "timm:resnet18"], "--arch: an ONNX file is a whole network, and so is one"),
        (["--key", "ema"], "--key: an ONNX file is a whole network, and so is one"),
        (
            ["--device", "cuda"],
            "--device: ONNX files are asked on the CPU, and files that are code",
        ),
    ],
)
def test_what_does_not_fit_such_a_file_is_a_usage_error(
    fp: Any, file: Path, options: list[str], said: str
) -> None:
    result = fp("verify", str(file), *options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_for_whoever_reads_weights_the_ways_out_are_named(file: Path) -> None:
    with pytest.raises(UnsafeFile, match=r"'fp verify' asks it in a sandbox.* torch\.save\("):
        read_weights(str(file))


def test_where_no_sandbox_holds_it_is_refused_in_one_line(
    fp: Any, script: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fingerprint.sandbox.backends.trouble", lambda one: "it does not hold")
    result = fp("verify", str(file), "--input-size", "3,8,8")
    assert result.exit_code == 3
    assert "expected a sandbox" in result.stderr
    assert "--no-sandbox" in result.stderr
    assert result.stderr.count("\n") == 1
    assert script.named("verify") == []


@pytest.mark.parametrize(
    "suspect", ["suspect.pt", "https://models.example/v2/models/m"], ids=["weights", "an address"]
)
@pytest.mark.parametrize("option", ["--no-sandbox", "--time-limit=60"])
def test_the_option_is_for_such_files_alone(fp: Any, suspect: str, option: str) -> None:
    result = fp("verify", suspect, option, *["--adapter=oip"] * ("https" in suspect))
    assert result.exit_code == 2
    assert f"{option.partition('=')[0]} is for" in result.stderr


def test_other_libraries_files_are_told_by_their_content_and_what_they_need_is_named(
    fp: Any, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ai_edge_litert" else known(name)
    )
    path = tmp_path / "app.bin"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    result = fp("verify", str(path))
    assert (result.exit_code, result.stderr.count("\n")) == (5, 1)
    assert "pip install 'nullprint[tflite]'" in result.stderr
    assert script.named("verify") == []
    with pytest.raises(MalformedFile, match="'fp verify' asks it in a sandbox, and it cannot be"):
        read_weights(str(path))
