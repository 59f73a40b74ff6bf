"""``fp serve`` and ``fp token`` on the command line, which refuse and let in without an extra."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from registry import Registry


def fp(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments], prog_name="fp")


def test_the_command_shows_a_token_once_and_the_chain_keeps_who_made_it(tmp_path: Path) -> None:
    where = ("--registry", tmp_path / "audit.db")
    made = fp("token", "add", "alice", "--role", "auditor", "--role", "registrar", *where)
    assert made.exit_code == 0, made.stderr
    secret = made.stdout.strip()
    listed = fp("token", "list", "--json", *where)
    assert "alice" in listed.stdout
    assert secret not in listed.stdout
    assert fp("token", "revoke", "alice", *where).exit_code == 0
    assert fp("token", "revoke", "alice", *where).exit_code == 2
    assert fp("token", "add", "alice", "--role", "reader", *where).exit_code == 3
    assert fp("token", "add", "bob", "--role", "king", *where).exit_code == 2
    assert fp("token", "add", "<b>", "--role", "admin", *where).exit_code == 2
    with Registry(tmp_path / "audit.db") as registry:
        registry.check()
        add, revoke = (one for one in registry.entries() if one.action == "token")
    assert (add.payload["name"], add.payload["roles"]) == ("alice", ["auditor", "registrar"])
    assert revoke.payload["done"] == "revoke"
    assert "user" in add.payload["by"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "plain text"),
        (("--host", "localhost"), "expected an IP address"),
        (("--certificate", "x.pem"), "expected --certificate and --key"),
    ],
)
def test_what_would_be_unsafe_to_serve_is_refused_in_one_line(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    result = fp("serve", *options, "--registry", tmp_path / "r.db")
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_registry_that_is_no_file_wants_a_folder_for_its_service(tmp_path: Path) -> None:
    result = fp("token", "list", "--registry", "sqlite://")
    assert result.exit_code == 2
    assert "--folder" in result.stderr
    assert fp("token", "list", "--registry", "sqlite://", "--folder", tmp_path).exit_code == 0


def test_a_missing_extra_is_said_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fastapi" else real(name)
    )
    result = fp("serve", "--registry", tmp_path / "r.db")
    assert result.exit_code == 5
    assert "pip install 'nullprint[serve]'" in result.stderr
    assert not (tmp_path / "r.db").exists()
