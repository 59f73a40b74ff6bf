"""Tables that fit the screen they are shown on.

    table(("name", "registered (UTC)"), rows)

A cell is never cut. Where the screen is narrower than the rows, cells are wrapped between words;
where even that is too wide, each row is shown as a list of its own. Off a terminal nothing is
wrapped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["Fitting", "facts", "table"]

Cell = str | Text

_GAP = 2
_WHOLE = ("harm ratio", "p-value")
"""Columns whose cells stay on one line."""
_FOLDED = 16
"""Words longer than this, such as paths and names, may be broken."""
_WORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?: and)?|\S+")


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Fitting:
    """Returns a table whose cells are shown as they are; columns without any cell are left out."""
    texts = [[one if isinstance(one, Text) else Text(one) for one in row] for row in rows]
    kept = [at for at in range(len(headings)) if any(row[at].plain for row in texts) or not rows]
    return Fitting([headings[at] for at in kept], [[row[at] for at in kept] for row in texts])


def facts(pairs: Sequence[tuple[str, Cell]]) -> Table:
    """Returns names and values in two columns."""
    grid = Table.grid(padding=(0, _GAP))
    for name, value in pairs:
        grid.add_row(Text(name, style="dim"), value if isinstance(value, Text) else Text(value))
    return grid


class Fitting:
    """A table that looks at the width it is given before it decides how to look."""

    def __init__(self, headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
        self.headings, self.rows = headings, rows

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Yields a grid, or a list for each row; Rich calls it."""
        columns = [
            [heading, *(row[at].plain for row in self.rows)]
            for at, heading in enumerate(self.headings)
        ]
        room = options.max_width - _GAP * (len(columns) - 1)
        widths = _widths(columns, room)
        yield self._grid(widths) if widths else self._lists()

    def _grid(self, widths: Sequence[int]) -> Table:
        grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for heading, width in zip(self.headings, widths, strict=True):
            grid.add_column(heading, overflow="fold", width=width)
        for row in self.rows:
            grid.add_row(*row)
        return grid

    def _lists(self) -> Group:
        parts: list[RenderableType] = []
        for first, *rest in self.rows:
            named = zip(self.headings[1:], rest, strict=True)
            parts += [first, Padding(facts([one for one in named if one[1].plain]), (0, 0, 0, 2))]
        return Group(*parts)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Returns how wide each column is drawn; None where there is no room for their words."""
    wide = [max(_longest_line(cell) for cell in cells) for cells in columns]
    least = [
        full if cells[0] in _WHOLE else min(full, max(map(_longest_word, cells)))
        for cells, full in zip(columns, wide, strict=True)
    ]
    if sum(least) > room:
        return None
    while sum(wide) > room:
        at = max(range(len(wide)), key=lambda one: (wide[one] > least[one], wide[one]))
        wide[at] -= 1
    return wide


def _longest_line(cell: str) -> int:
    return max((Text(line).cell_len for line in cell.splitlines()), default=0)


def _longest_word(cell: str) -> int:
    found = [(word, Text(word).cell_len) for word in _WORD.findall(cell)]
    return max((wide if " " in word else min(wide, _FOLDED) for word, wide in found), default=0)
