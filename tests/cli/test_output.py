"""Data goes to stdout, messages to stderr, and --json is one document and nothing else."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.text import Text

from cli.output import Output, json_text
from tests.cli.fakes import HOSTILE, candidate, registered, verification

COMMANDS = (
    ["register", "x.pt"],
    ["verify", "x.pt"],
    ["list"],
    ["show", "ours"],
    ["remove", "ours", "--yes"],
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: words[0])
def test_json_is_the_only_thing_on_stdout(fp: Any, arguments: list[str]) -> None:
    result = fp(*arguments, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["schema"] == 2
    assert result.stdout.isascii()


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: words[0])
def test_quiet_leaves_stderr_empty_and_stdout_as_it_was(fp: Any, arguments: list[str]) -> None:
    loud, quiet = fp(*arguments), fp(*arguments, "--quiet")
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout


def test_quiet_does_not_hide_errors(fp: Any) -> None:
    assert "fp: error:" in fp("show", "nobody", "--quiet").stderr


def test_warnings_are_messages_not_data(fp: Any, script: Any) -> None:
    script.result = verification(candidate(), warnings=("low contrast",))
    result = fp("verify", "x.pt")
    assert result.stderr == "fp: warning: low contrast\n"
    assert "low contrast" not in result.stdout


def test_an_error_under_json_leaves_stdout_empty(fp: Any) -> None:
    assert fp("show", "nobody", "--json").stdout == ""


def test_json_has_no_not_a_number_no_infinity_and_no_numpy() -> None:
    text = json_text(
        {
            "nan": math.nan,
            "values": (math.inf, 1.5),
            "scalar": np.float32(0.5),
            "array": np.array([[1, 2]]),
            "path": Path("a/b"),
        }
    )
    assert json.loads(text) == {
        "nan": None,
        "values": [None, 1.5],
        "scalar": 0.5,
        "array": [[1, 2]],
        "path": "a/b",
    }


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: words[0])
def test_a_hostile_name_is_inert_in_text_and_exact_in_json(
    fp: Any, script: Any, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cli.fakes import FakeRegistry

    hostile = registered(HOSTILE, architecture=HOSTILE, file_path=HOSTILE, parent=HOSTILE)
    script.result = verification(candidate(HOSTILE), reason=HOSTILE, warnings=(HOSTILE,))
    monkeypatch.setattr(FakeRegistry, "models", lambda self: [hostile])
    monkeypatch.setattr(FakeRegistry, "model", lambda self, name: hostile)
    monkeypatch.setattr(FakeRegistry, "register", lambda self, model, **rest: hostile)
    shown = fp(*arguments)
    assert shown.exit_code == 0
    for character in ("\x1b", "\u202e", "\r", "\x07"):
        assert character not in shown.output
    assert "\\x1b[31mred" in shown.output
    assert "\\nsecond line[bold]x[/bold]:smile:" in shown.output
    document = fp(*arguments, "--json").stdout
    assert "</script>" not in document
    assert "\x1b" not in document
    assert HOSTILE in json.dumps(json.loads(document), ensure_ascii=False).replace(
        json.dumps(HOSTILE, ensure_ascii=False)[1:-1], HOSTILE
    )


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", [True, False])
def test_no_color_is_respected_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    Output().data({}, Text("verdict", style="green"))
    assert ("\x1b[32m" in terminal.getvalue()) is not no_color


def test_off_a_terminal_there_is_no_colour_and_nothing_is_cut(fp: Any, script: Any) -> None:
    script.models = ("a" * 100,)
    result = fp("list")
    assert "\x1b" not in result.stdout
    assert "a" * 100 in result.stdout
    assert not any(line.endswith(" ") for line in result.stdout.splitlines())


def test_a_table_in_ascii_when_the_stream_knows_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cli import render

    class Ascii(io.StringIO):
        encoding = "ascii"

    stream = Ascii()
    monkeypatch.setattr(sys, "stdout", stream)
    Output().data({}, render.models_table([registered()]))
    assert stream.getvalue().isascii()
