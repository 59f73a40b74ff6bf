"""Pages written by hand around tables that are written by programs.

    filled(text, {"margins": lambda: table(...)})

A table stands between two markers that name it, ``<!-- table: margins -->`` and
``<!-- end -->``; what stands between them is replaced, and nothing else is touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from fingerprint.errors import UsageError
from fingerprint.files import write_whole

__all__ = ["bare", "filled", "write_filled"]

Tables = Mapping[str, Callable[[], str]]

_MARKED = re.compile(r"<!-- table: (?P<name>[^\n]+?) -->\n.*?<!-- end -->", re.DOTALL)
_END = "<!-- end -->"


def filled(text: str, tables: Tables) -> str:
    """Replaces what stands between each pair of markers by the table they name.

    Raises:
        UsageError: A marker names no table, or has no end.
    """

    def replaced(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in tables:
            raise UsageError(f"expected the name of a table, got {name!r}; known: {list(tables)}")
        return f"<!-- table: {name} -->\n{tables[name]()}\n{_END}"

    result, count = _MARKED.subn(replaced, text)
    if not count == text.count("<!-- table:") == text.count(_END):
        raise UsageError(f"expected {_END} after the table of each marker, got another arrangement")
    return result


def bare(title: str, names: Iterable[str]) -> str:
    """Returns a page of places for tables alone."""
    places = [f"## {name}\n\n<!-- table: {name} -->\n{_END}" for name in names]
    return "\n\n".join((f"# {title}", *places)) + "\n"


def write_filled(page: Path, tables: Tables, *, title: str) -> list[str]:
    """Writes the tables into a page; without one, or again, into a page of tables alone.

    Args:
        page: The file.
        tables: By the name their place has.
        title: Of a page that does not exist.

    Returns:
        Names of the tables that are not what they were, on a page with sentences around them.

    Raises:
        UsageError: A marker names no table, or has no end.
    """
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    by_hand = before and not before.startswith(f"# {title}\n")
    after = filled(before if by_hand else bare(title, tables), tables)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, lambda stream: stream.write(after.encode()))
    pairs = zip(_MARKED.finditer(before), _MARKED.finditer(after), strict=True) if by_hand else ()
    return [old["name"] for old, new in pairs if old[0] != new[0]]
