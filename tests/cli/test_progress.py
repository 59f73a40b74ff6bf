"""Bars are drawn on a terminal only, on stderr, and not when nobody wants them."""

from __future__ import annotations

import io
import re
import sys

import pytest

from cli.output import Output
from cli.progress import progress_bars


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def _work(output: Output, stream: io.StringIO, *, fails: bool = False) -> str:
    """Reports some progress with ``stream`` at stderr and returns what was drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm-256color")
        with progress_bars(output) as progress:
            progress("solving", 1, 2)
            progress("screening\x1b[2J", 0, 3)
            progress("solving", 2, 2)
            if fails:
                raise ValueError("stop")
    return stream.getvalue()


def test_each_stage_has_a_bar_on_a_terminal() -> None:
    drawn = _work(Output(), _Terminal())
    assert "solving" in drawn
    assert "2/2" in drawn
    assert "screening\\x1b[2J" in drawn


@pytest.mark.parametrize("output", [Output(json=True), Output(quiet=True)], ids=["json", "quiet"])
def test_json_and_quiet_draw_nothing(output: Output) -> None:
    assert _work(output, _Terminal()) == ""


def test_bars_have_an_estimate_fit_80_columns_and_have_no_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = _Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        patch.setenv("TERM", "xterm-256color")
        with progress_bars(Output()) as progress:
            progress("trained on: a network whose name is long", 1_000, 10_000)
    drawn = terminal.getvalue()
    lines = [re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", line) for line in drawn.splitlines()]
    shown = [line.strip() for line in lines if "left" in line]
    assert shown
    assert any(re.search(r"1000/10000 0:00:\d\d about \S+ left$", line) for line in shown)
    assert all("…" in line and len(line) <= 80 for line in shown)
    assert not re.search(r"\x1b\[(3[0-7]|38|9[0-7])", drawn)


def test_off_a_terminal_nothing_is_drawn() -> None:
    assert _work(Output(), io.StringIO()) == ""


def test_the_cursor_is_shown_again_when_the_work_fails() -> None:
    terminal = _Terminal()
    with pytest.raises(ValueError, match="stop"):
        _work(Output(), terminal, fails=True)
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert terminal.getvalue().rfind(shown) > terminal.getvalue().rfind(hidden) >= 0
