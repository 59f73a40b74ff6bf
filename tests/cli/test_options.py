"""The options of a model are parsed once, the same for every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from cli.options import model_options


def _parsed(name: str, text: str) -> Any:
    options: dict[str, Any] = {name: text}
    return model_options(**options).arguments[name]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("input_size", "3,32,32", (3, 32, 32)),
        ("input_size", "784", (784,)),
        ("mean", "0.5", (0.5,)),
        ("mean", "0.485, 0.456,0.406", (0.485, 0.456, 0.406)),
        ("std", "1e-1,2,3", (0.1, 2.0, 3.0)),
        ("bounds", "-1,1", (-1.0, 1.0)),
        ("output", "logits", "logits"),
        ("output", "0", 0),
        ("output", "-1", -1),
        ("arch", "timm:resnet18", "timm:resnet18"),
    ],
)
def test_a_well_formed_option_becomes_its_value(name: str, text: str, value: Any) -> None:
    assert _parsed(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("input_size", ""),
        ("input_size", "3x32x32"),
        ("input_size", "3,,32"),
        ("input_size", "3,0,32"),
        ("input_size", "-3,32,32"),
        ("input_size", "3,²,32"),
        ("mean", "a"),
        ("mean", ""),
        ("mean", "nan"),
        ("std", "inf,1,1"),
        ("bounds", "1"),
        ("bounds", "1,0"),
        ("bounds", "0,0"),
        ("bounds", "0,1,2"),
    ],
)
def test_a_malformed_option_is_named_in_a_usage_error(name: str, text: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"--{name.replace('_', '-')}: expected"):
        _parsed(name, text)


def test_left_out_options_are_left_to_the_library() -> None:
    arguments = model_options().arguments
    assert arguments.pop("device") == "cpu"
    assert arguments.pop("follow_symlinks") is False
    assert set(arguments.values()) == {None}


def test_the_library_takes_exactly_the_options_that_are_passed_on() -> None:
    import inspect

    from fingerprint.network import load_model

    accepted = set(inspect.signature(load_model).parameters) - {"source"}
    assert set(model_options().arguments) == accepted


def test_a_command_passes_the_options_on_to_the_loader(fp: Any, script: Any) -> None:
    result = fp(
        "verify",
        "suspect.pt",
        *("--arch", "timm:resnet18", "--input-size", "3,32,32", "--std", "0.5"),
        *("--output", "logits", "--device", "cuda", "--follow-symlinks", "--key", "ema"),
    )
    assert result.exit_code == 0
    (loaded,) = script.named("load")
    assert loaded == {
        "source": Path("suspect.pt"),
        "arch": "timm:resnet18",
        "input_size": (3, 32, 32),
        "mean": None,
        "std": (0.5,),
        "bounds": None,
        "output": "logits",
        "key": "ema",
        "follow_symlinks": True,
        "device": "cuda",
    }


def test_the_registry_comes_from_the_option_or_else_from_the_environment(
    fp: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fp("list")
    monkeypatch.setenv("FP_REGISTRY", "sqlite:///env.db")
    fp("list")
    fp("list", "--registry", "option.db")
    urls = [call["url"] for call in script.named("open")]
    assert urls == [None, "sqlite:///env.db", "option.db"]
