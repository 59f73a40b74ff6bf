"""``fp`` as a program of its own, with stand-ins for the registry and the models.

    python -m tests.cli.fake_fp SECONDS verify x.pt      # the work takes so many seconds

It imports neither torch nor the registry, so that tests of signals, pipes and locales can
start many of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import typer

from cli import session

_NAMES = ("ours", "theirs")
_MODEL: dict[str, Any] = {
    "architecture": "my_networks:small",
    "input": {"shape": [3, 32, 32], "kind": "pixels"},
    "output": {"classes": 10, "kind": "logits"},
    "probes": 24,
    "parent": None,
    "from_scratch": False,
    "current": True,
    "aliases": (),
    "registered": "2026-01-02T03:04:05+00:00",
}
_CANDIDATE: dict[str, Any] = {
    "name": "ours",
    "verdict": "derived",
    "harm_ratio": 0.3,
    "harm_ratio_ci": (0.2, 0.4),
    "p_value": 1e-6,
    "relation": "descends",
    "identical_weights": False,
    "findings": (),
    "label_agreement": None,
    "answer_kind": "logits",
    "margin": 0.7,
    "margin_source": "default",
    "margin_pairs": 0,
    "margin_floor": 1.0,
}


class _Value(SimpleNamespace):
    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "candidates"}


class _Registry:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> _Registry:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def models(self) -> list[_Value]:
        return [_Value(name=name, **_MODEL) for name in _NAMES]

    def model(self, name: str) -> _Value:
        if name not in _NAMES:
            raise typer.BadParameter(f"no registered model is named {name}")
        return _Value(name=name, **_MODEL)

    def remove(self, name: str) -> None:
        pass

    def verify(self, suspect: object, *, progress: Any, **options: object) -> _Value:
        progress("solving", 1, 2)
        if self.seconds:
            print("working", file=sys.stderr, flush=True)
            time.sleep(self.seconds)
        return _Value(
            verdict="derived",
            reason="a reason",
            best="ours",
            queries=54,
            seconds=1.0,
            warnings=(),
            not_asked=(),
            candidates=(_Value(**_CANDIDATE),),
        )


def _load(path: object, options: object) -> SimpleNamespace:
    """Loads nothing; with ``FP_TEST_NOISE`` it prints in every way that a network's code may."""
    if os.environ.get("FP_TEST_NOISE"):
        print("printed")
        assert sys.__stdout__ is not None
        print("around the stream", file=sys.__stdout__, flush=True)
        os.write(1, b"around Python\n")
        subprocess.run(["echo", "another program"], check=True)
    return SimpleNamespace(warnings=())


def _main() -> int:
    seconds = float(sys.argv.pop(1))
    vars(session).update(
        open_registry=lambda url, *, writing=False: _Registry(seconds),
        load=_load,
    )
    from cli.__main__ import main

    return main()


if __name__ == "__main__":
    sys.exit(_main())
