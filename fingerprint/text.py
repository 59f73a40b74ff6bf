r"""Text of unknown origin, made harmless for a terminal and for whatever reads our output.

Names, paths and messages may come from a file or a registry that somebody else wrote. What
could move the cursor, colour the screen, reverse the reading order or break a line is shown
as an escape sequence instead:

    clean("\x1b[2Jours\n")      # is shown as those very escapes
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

__all__ = ["LIMIT", "clean", "first_line", "listed"]


LIMIT = 120
"""Longest text shown, in characters, unless a caller says otherwise."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Control, format (bidirectional overrides, zero width), surrogate, private use, unassigned,
# line and paragraph separators.
_INERT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKS = frozenset({"Mn", "Me"})
_MARKS_IN_A_ROW = 4


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def clean(text: object, limit: int = LIMIT) -> str:
    r"""Returns text that is one line and cannot act on a terminal.

    Args:
        text: Anything; its ``str`` is taken.
        limit: Longest result; what is cut is told by how many characters are missing.

    Returns:
        Printable characters and spaces; everything else as ``\x``, ``\u`` or ``\U`` escapes,
        and so are combining marks beyond four in a row, which would spill over other lines.
    """
    raw = str(text)
    pieces: list[str] = []
    length = marks = 0
    for index, character in enumerate(raw):
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        strange = (
            category in _INERT or (category == "Zs" and character != " ") or marks > _MARKS_IN_A_ROW
        )
        piece = _escaped(character) if strange else character
        length += len(piece)
        if length > limit:
            return "".join(pieces) + f"...({len(raw) - index} more)"
        pieces.append(piece)
    return "".join(pieces)


def first_line(error: BaseException, *, limit: int = 200) -> str:
    """Returns the first line of an error's message, or its class name when it has none."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:
        # An error class of somebody else's code, whose message fails in its turn.
        lines = []
    return clean(lines[0] if lines else type(error).__name__, limit=limit)


def listed(names: Iterable[str], *, shown: int = 3) -> str:
    """Returns a few names and a count of the rest: ``a, b, c and 4 more``."""
    every = list(names)
    text = ", ".join(clean(name) for name in every[:shown])
    return f"{text} and {len(every) - shown} more" if len(every) > shown else text
