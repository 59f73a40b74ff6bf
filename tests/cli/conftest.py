"""The command line with a fake registry behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.cli import fakes

Fp = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_registry_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("FP_REGISTRY", "FP_DEBUG", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> fakes.Script:
    """What the fake registry does; change it before calling ``fp``."""
    return fakes.install(fakes.Script(), monkeypatch.setattr)


@pytest.fixture
def fp(script: fakes.Script) -> Fp:
    """Runs ``fp`` in this process: ``fp("list", "--json")`` returns code, stdout and stderr."""

    def run(*arguments: str, **options: Any) -> Any:
        return CliRunner().invoke(app, list(arguments), prog_name="fp", **options)

    return run
