"""Where text goes: data to stdout, messages to stderr, and nothing else anywhere.

A reader that closes the pipe early loses the rest of the text, not the exit code: what a
command found out stays true when nobody reads it.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from cli import process
from fingerprint.text import clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Output", "console", "error", "json_text"]

_MESSAGE_LIMIT = 2000
_WIDE = 4000  # off a terminal nothing is wrapped or cut; grep and logs want whole lines


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        process.drop(stream)


def console(stream: TextIO) -> Console:
    """Returns a Rich console that interprets no markup, emoji code or number in our text."""
    from rich.console import Console

    width = None if stream.isatty() else _WIDE
    return Console(
        file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False
    )


def error(message: str) -> None:
    """Writes one ``fp: error:`` line to stderr."""
    _write(sys.stderr, f"fp: error: {clean(message, _MESSAGE_LIMIT)}\n")


def _plain(value: Any) -> Any:
    """Returns a value JSON can hold; NaN and infinities, which it cannot, become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())  # numpy, without importing it
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(document: Mapping[str, Any]) -> str:
    """Returns one JSON document in ASCII, with ``<`` escaped so it may stand inside HTML."""
    text = json.dumps(_plain(document), indent=2, ensure_ascii=True, allow_nan=False, default=str)
    return text.replace("<", "\\u003c") + "\n"


@dataclass(frozen=True)
class Output:
    """How one command shows what it found.

    Attributes:
        json: One JSON document on stdout instead of text for people.
        quiet: No messages on stderr except errors.
    """

    json: bool = False
    quiet: bool = False

    @property
    def shows_progress(self) -> bool:
        """Whether bars may be drawn: on a terminal, and neither --json nor --quiet."""
        return not self.json and not self.quiet and sys.stderr.isatty()

    def data(self, document: Mapping[str, Any], *views: RenderableType) -> None:
        """Writes the result to stdout.

        Args:
            document: What ``--json`` shows.
            views: What people are shown, top to bottom.
        """
        if self.json:
            _write(process.document(), json_text(document))
            return
        screen = console(process.document())
        with screen.capture() as capture:
            for view in views:
                screen.print(view)
        # Table cells are padded to the right; trailing blanks are noise in a file.
        lines = [line.rstrip() for line in capture.get().splitlines()]
        _write(process.document(), "\n".join(lines) + "\n")

    def text(self, text: str) -> None:
        """Writes a result to stdout that is a document already."""
        _write(process.document(), text)

    def message(self, text: str) -> None:
        """Writes one line to stderr, unless ``--quiet``."""
        if not self.quiet:
            _write(sys.stderr, f"fp: {clean(text, _MESSAGE_LIMIT)}\n")

    def warn(self, text: str) -> None:
        """Writes one ``fp: warning:`` line to stderr, unless ``--quiet``."""
        self.message(f"warning: {text}")
