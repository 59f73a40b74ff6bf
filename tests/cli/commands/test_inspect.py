"""``fp inspect``: what a user sees, and what refuses to be drawn."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from fingerprint.inspection import inspect
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from tests.cli.fakes import HOSTILE


def _module() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 2, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
        nn.Softmax(dim=1),
    )


def _model(module: nn.Module) -> Model:
    return load_model(module.eval(), input_size=(3, 8, 8), mean=(0.5,), std=(0.5,))


@pytest.fixture
def show(fp: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs ``fp inspect`` on a small network with a convolution, a pooling and a head."""
    import fingerprint.network

    model = _model(_module())
    monkeypatch.setattr(fingerprint.network, "load_model", lambda *_, **__: model)
    return lambda *arguments: fp("inspect", "net.safetensors", *arguments)


def test_every_layer_has_a_line_with_its_numbers(show: Any) -> None:
    lines = [line.split() for line in show().stdout.splitlines()]
    assert ["0", "convolution", "192", "64", "64", "128"] in [line[:6] for line in lines]
    assert any(line[:2] == ["1", "relu"] and line[-2:] == ["of", "64"] for line in lines)
    assert any(line[:3] == ["2", "max", "pooling"] for line in lines)
    assert any(line[:2] == ["4", "linear"] for line in lines)


def test_what_is_harmless_for_the_input_comes_first(show: Any) -> None:
    text = show().stdout
    assert "128 of 192 dimensions, rank 64, ended by relu" in text
    assert "seeded uniform noise" in text
    assert "Not listed: reshapes, sums of two paths and other glue" in text


def test_json_is_one_document_that_says_all(show: Any) -> None:
    result = show("--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["schema"] == 1
    assert [layer["kind"] for layer in document["layers"]] == [
        "convolution",
        "activation",
        "max pooling",
        "linear",
        "softmax",
    ]
    assert document["segment"]["dimension"] == 128
    assert document["layers"][0]["rank"] == 64
    assert document["layers"][4]["dimension"] == 1


def test_a_layer_can_be_asked_for(show: Any) -> None:
    document = json.loads(show("--json", "--layer", "4").stdout)
    assert [layer["name"] for layer in document["layers"]] == ["4"]


def test_an_unknown_layer_is_a_usage_error(show: Any) -> None:
    result = show("--layer", "five")
    assert result.exit_code == 2
    assert "nearest:" in result.stderr
    assert result.stdout == ""


def test_as_many_singular_values_are_found_as_asked_for(show: Any) -> None:
    document = json.loads(show("--json", "--layer", "4", "--values", "5").stdout)
    values = document["layers"][0]["singular_values"]
    assert len(values) == 5
    assert values == sorted(values)


def test_nonlinear_layers_are_looked_at_with_the_picture_that_is_given(
    show: Any, tmp_path: Path
) -> None:
    counts = set()
    for brightness in (0, 255):
        path = tmp_path / f"{brightness}.png"
        Image.fromarray(np.full((8, 8, 3), brightness, dtype=np.uint8)).save(path)
        document = json.loads(show("--json", "--input", str(path)).stdout)
        assert document["input"] == str(path)
        counts.add(document["layers"][1]["free"])
    assert len(counts) == 2


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_plot_is_a_picture(show: Any, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "pictures").mkdir()
    path = tmp_path / "pictures" / f"layers.{suffix}"
    result = show("--plot", str(path))
    assert result.exit_code == 0
    assert f"drew {path}" in result.stderr
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)
    assert list(path.parent.iterdir()) == [path]


def test_a_plot_shows_every_layer(show: Any, tmp_path: Path) -> None:
    path = tmp_path / "layers.png"
    show("--plot", str(path))
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    blue = (pixels == (0x21, 0x66, 0xAC)).all(axis=1).mean()
    orange = (pixels == (0xD6, 0x84, 0x1F)).all(axis=1).mean()
    assert blue > 0.01
    assert orange > 0.01


@pytest.mark.parametrize("name", ["layers.jpg", "layers", "layers.txt"])
def test_a_plot_of_another_kind_is_a_usage_error(show: Any, tmp_path: Path, name: str) -> None:
    result = show("--plot", str(tmp_path / name))
    assert result.exit_code == 2
    assert ".png, .svg, .pdf" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_plot_in_a_folder_that_is_not_there_is_refused_before_any_work(
    show: Any, tmp_path: Path
) -> None:
    result = show("--plot", str(tmp_path / "none" / "layers.png"))
    assert result.exit_code == 5
    assert "there is no folder" in result.stderr


def test_a_plot_in_the_place_of_a_folder_is_refused_before_any_work(
    show: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fingerprint.inspection.inspect", lambda *_, **__: pytest.fail("worked"))
    (tmp_path / "layers.png").mkdir()
    result = show("--plot", str(tmp_path / "layers.png"))
    assert result.exit_code == 5
    assert "cannot be written" in result.stderr


def test_without_matplotlib_one_line_says_how_to_get_it(
    show: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = show("--plot", str(tmp_path / "layers.png"))
    assert result.exit_code == 5
    assert "needs matplotlib; pip install 'nullprint[plot]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_hostile_names_reach_neither_the_terminal_nor_the_picture(tmp_path: Path) -> None:
    from rich.console import Console

    from cli.inspection_plot import draw
    from cli.inspection_view import inspection

    found = inspect(_model(_module()))
    layers = tuple(
        replace(layer, name=f"{HOSTILE}$x_{place}", note=HOSTILE)
        for place, layer in enumerate(found.layers)
    )
    hostile = replace(
        found, architecture=HOSTILE, given=HOSTILE, layers=layers, unlisted=(HOSTILE,)
    )
    screen = Console(width=4000, markup=False, emoji=False)
    with screen.capture() as capture:
        screen.print(inspection(hostile))
    shown = capture.get()
    for forbidden in ("\x1b[31m", "\u202e", "\nsecond"):
        assert forbidden not in shown
    draw(hostile, tmp_path / "hostile.png")
    assert (tmp_path / "hostile.png").stat().st_size > 1000
