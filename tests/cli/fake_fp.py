"""``fp`` as a program of its own, with stand-ins for the registry and the models.

    python -m tests.cli.fake_fp SECONDS verify x.pt      # the work takes so many seconds

It does not import torch, nor the registry unless models are listed, so that tests of signals,
pipes and locales can start many of them. Its values are real ones, and its registry is typed as
the real one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import typer

from cli import session
from cli.options import ModelOptions
from fingerprint.progress import Progress, silent
from fingerprint.verification import Candidate, Verification

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fingerprint.network import Model
    from fingerprint.suspects import Suspect
    from registry import RegisteredModel, Registry
else:
    Registry = object

_NAMES = ("ours", "theirs")
_FACTS = {
    "spaces": [],
    "depths": [],
    "probes": 24,
    "source_harm_ratio": {"median": 0.001, "max": 0.0034},
    "screened_against": [],
    "redrawn": 0,
    "cost": {},
}
_CANDIDATE = Candidate(
    name="ours",
    verdict="derived",
    relation="descends",
    reason="a reason",
    harm_ratio=0.3,
    harm_ratio_ci=(0.2, 0.4),
    p_value=1e-6,
    margin=0.7,
    margin_source="default",
    answer_kind="logits",
)


class _Registry(Registry):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> _Registry:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def models(self) -> list[RegisteredModel]:
        from registry import RegisteredModel

        return [
            RegisteredModel(
                name=name,
                registered="2026-01-02T03:04:05+00:00",
                model_digest="ab" * 32,
                architecture="my_networks:small",
                input={"shape": [3, 32, 32], "kind": "pixels"},
                output={"classes": 10, "kind": "logits"},
                domain="pixels:3x32x32:0.0,1.0",
                load_options={},
                commitment="ef" * 32,
                facts=_FACTS,
            )
            for name in _NAMES
        ]

    def model(self, name: str) -> RegisteredModel:
        if name not in _NAMES:
            raise typer.BadParameter(f"no registered model is named {name}")
        # Of a model that is named, only its names are asked for.
        return cast("RegisteredModel", SimpleNamespace(name=name, aliases=()))

    def remove(self, name: str) -> None:
        pass

    def verify(
        self,
        suspect: Model | nn.Module | Suspect,
        *,
        against: Sequence[str] = (),
        expect: Sequence[str] = (),
        forbid: Sequence[str] = (),
        alpha: float = 0.001,
        weights: bool = True,
        data: NDArray[Any] | None = None,
        pictures: int = 24,
        code: Sequence[str] = (),
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Verification:
        progress("solving", 1, 2)
        if self.seconds:
            print("working", file=sys.stderr, flush=True)
            time.sleep(self.seconds)
        return Verification(
            suspect={},
            verdict="derived",
            reason="a reason",
            best="ours",
            queries=54,
            candidates=(_CANDIDATE,),
            seconds=1.0,
        )


def _load(path: Path, options: ModelOptions) -> Model:
    """Loads nothing; with ``FP_TEST_NOISE`` it prints in every way that a network's code may."""
    if os.environ.get("FP_TEST_NOISE"):
        print("printed")
        assert sys.__stdout__ is not None
        print("around the stream", file=sys.__stdout__, flush=True)
        os.write(1, b"around Python\n")
        subprocess.run(["echo", "another program"], check=True)
    return cast("Model", SimpleNamespace(warnings=(), input=None, architecture="my:network"))


def _main() -> int:
    seconds = float(sys.argv.pop(1))

    def open_registry(url: str | None, *, writing: bool = False) -> Registry:
        return _Registry(seconds)

    session.open_registry = open_registry
    session.load = _load
    from cli.__main__ import main

    return main()


if __name__ == "__main__":
    sys.exit(_main())
