"""Makes text from untrusted files fit for a one-line message."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["first_line", "listed", "printable"]


def printable(text: object, *, limit: int = 80) -> str:
    """Returns ``text`` on one line, without control characters, cut to ``limit`` characters."""
    raw = str(text)
    clean = "".join(char if char.isprintable() else "?" for char in raw[: limit + 1])
    return clean if len(raw) <= limit else clean[: limit - 3] + "..."


def first_line(error: BaseException, *, limit: int = 200) -> str:
    """Returns the first line of an error's message, or its class name when it has none."""
    lines = str(error).strip().splitlines()
    return printable(lines[0] if lines else type(error).__name__, limit=limit)


def listed(names: Iterable[str], *, shown: int = 3) -> str:
    """Returns a few names and a count of the rest: ``a, b, c and 4 more``."""
    every = list(names)
    text = ", ".join(printable(name) for name in every[:shown])
    return f"{text} and {len(every) - shown} more" if len(every) > shown else text
