"""A file that is code through the command line: verified in a sandbox, and said so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from cli.main import app
from fingerprint.sandbox.backends import BACKENDS, trouble
from registry import Registry
from tests.support.digits import network
from tests.support.extracted import SEED
from tests.support.programs import exported, traced

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(all(map(trouble, BACKENDS)), reason="no sandbox holds on this machine"),
]


@pytest.fixture
def fp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs ``fp`` with a registry of its own, of a known seed."""
    monkeypatch.setattr("secrets.token_hex", lambda size: SEED)

    def run(*arguments: object) -> Any:
        given = [*map(str, arguments), "--registry", str(tmp_path / "r.db")]
        return CliRunner().invoke(app, given, prog_name="fp")

    return run


def test_copies_that_are_code_are_found_and_the_report_says_what_held_them(
    fp: Callable[..., Any], tmp_path: Path
) -> None:
    weights = tmp_path / "ours.safetensors"
    save_file(network("cnn").state_dict(), weights)
    how = ("--arch", "fingerprint.lab.networks:cnn", "--input-size", "1,16,16")
    assert fp("register", weights, *how, "--from-scratch").exit_code == 0

    script = traced(network("cnn"), tmp_path / "app.pt", 1, 16, 16)
    result = fp("verify", script, "--input-size", "1,16,16", "--forbid", "ours", "--json")
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert (found["verdict"], found["best"]) == ("same", "ours")
    backend = found["suspect"]["sandbox"]
    assert backend in {one.name for one in BACKENDS}
    with Registry(str(tmp_path / "r.db")) as registry:
        assert registry.verifications()[0].evidence["suspect"]["sandbox"] == backend

    program = exported(network("cnn", 1), tmp_path / "other.pt2", 1, 16, 16)
    result = fp("verify", program, "--forbid", "ours")
    assert result.exit_code == 0, result.output
    assert "independent" in result.stdout
    assert f"ran in a sandbox: {backend}" in result.stdout
