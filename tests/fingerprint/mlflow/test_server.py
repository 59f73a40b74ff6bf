"""Without MLflow, or without a server, there is one line that says what is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from fingerprint.errors import EnvironmentFailure
from fingerprint.mlflow import fetched


@pytest.fixture(autouse=True)
def _without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)


def test_a_missing_client_is_named_with_the_way_to_get_it() -> None:
    with (
        pytest.raises(EnvironmentFailure, match=r"pip install 'nullprint\[mlflow\]'"),
        fetched("models:/cats/3"),
    ):
        pass


@pytest.mark.parametrize(
    ("command", "uri", "code"),
    [
        ("verify", "models:/cats/3", 5),
        ("register", "models:/cats@champion", 5),
        ("verify", "runs:/abc/answers.json", 5),
        ("verify", "models:/cats/latest", 2),
        ("register", "models:/cats\x1b[2J", 2),
    ],
)
def test_fp_ends_in_one_line(tmp_path: Path, command: str, uri: str, code: int) -> None:
    given = [command, uri, "--registry", str(tmp_path / "r.db")]
    done = CliRunner().invoke(app, given, prog_name="fp")
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr
