"""From rows to entries: which column names the picture, which are labels, which are scores.

The file column is the one that names pictures. Of the others, words are labels and numbers are
scores, but for numbers that are labels themselves: those that a heading calls so, or whole ones
beside scores that are not. ::

    file, label                     file, label, score          (top-k: several rows a picture)
    file, label 1, score 1, ...     file, one column a class
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fingerprint.errors import MalformedFile
from fingerprint.text import clean, listed
from fingerprint.written import documents
from fingerprint.written.entries import Entry, index_of, is_blank, number_of, picture_of
from fingerprint.written.table import Row, rows_of

__all__ = ["entries_of_table"]

_FILE = re.compile(r".*\.(?:png|npy|jpe?g|webp|bmp)", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:predicted|top)?[-_ ]?(?:label|class|pred|prediction|category|answer|argmax|top)"
    r"(?:[-_ ]?(?:id|index|name|no))?[-_ ]?\d*",
    re.IGNORECASE,
)
_SCORE = re.compile(r".*(?:score|prob|confidence|logit|certainty|value|output)", re.IGNORECASE)
_ASIDE = re.compile(
    r"(?:time|seconds|latency|ms|duration|date|timestamp|id|index|url|path|width|height|size"
    r"|rank|comments?|notes?|remarks?)",
    re.IGNORECASE,
)
"""Headings of columns that are no part of an answer."""
_LOOKED_AT = 1000
_STRAY = 0.1
"""Share of words up to which a column is one of numbers, where it is not the only one."""
_NUMBERED = 12
"""Rows from which a column of rising whole numbers is taken for their numbers."""


@dataclass(frozen=True)
class _Column:
    """A column beside the file column.

    Attributes:
        heading: What it is called; empty without headings.
        cells: Its text, for each row.
        numbers: Its numbers, NaN for none; empty if it holds words.
    """

    heading: str
    cells: Sequence[str]
    numbers: Sequence[float]

    @property
    def there(self) -> list[float]:
        return [value for value in self.numbers if not math.isnan(value)]

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers from zero on, as labels are written."""
        there = self.there
        return bool(there) and all(value >= 0 and value.is_integer() for value in there)

    @property
    def rising(self) -> bool:
        there = self.there
        return self.whole and all(a < b for a, b in pairwise(there))


def entries_of_table(text: str, known: Collection[str]) -> tuple[list[Entry], list[str]]:
    """Reads a table.

    Args:
        text: All of it.
        known: Names of the pictures that it may speak of.

    Returns:
        What it says of each picture, row by row, and notes on what was left out.

    Raises:
        MalformedFile: Its columns cannot be understood, or it speaks of something else.
    """
    rows = rows_of(text, known)
    place = _file_column(rows, known)
    headings: list[str] = []
    first = _cell(rows[0][1], place)
    if picture_of(first, known) is None and not _FILE.fullmatch(first.strip()):
        headings, rows = rows[0][1], rows[1:]
    pictures = [_picture(row, place, known) for row in rows]
    columns, notes = _columns(rows, headings, place, _has_commas(rows))
    return _entries(pictures, columns, notes), notes


def _cell(cells: Sequence[str], place: int) -> str:
    return cells[place] if place < len(cells) else ""


def _file_column(rows: Sequence[Row], known: Collection[str]) -> int:
    """Returns the column that names most pictures."""
    counts: dict[int, int] = {}
    for _, cells in rows:
        for place, cell in enumerate(cells):
            if picture_of(cell, known) is not None:
                counts[place] = counts.get(place, 0) + 1
    if not counts:
        first = clean(rows[0][1][0], 40) if rows else ""
        raise MalformedFile(
            "expected rows that name the pictures of an export of this registry and what they were "
            f"answered, separated by comma, semicolon or tab; got '{first}'"
        )
    return max(counts, key=lambda place: counts[place])


def _picture(row: Row, place: int, known: Collection[str]) -> str:
    line, cells = row
    found = picture_of(_cell(cells, place), known)
    if found is None:
        raise MalformedFile(
            f"line {line}: expected a picture of an export of this registry, got "
            f"'{clean(_cell(cells, place), 40)}'; give the answers to these pictures alone"
        )
    return found


def _has_commas(rows: Sequence[Row]) -> bool:
    """Whether decimals stand behind a comma, as a spreadsheet writes them in half of the world."""
    cells = [cell.strip() for _, row in rows[:_LOOKED_AT] for cell in row]
    commas = any(re.fullmatch(r"[-+]?\d+,\d+(e[-+]?\d+)?%?", cell, re.IGNORECASE) for cell in cells)
    points = any(
        re.fullmatch(r"[-+]?\d*\.\d+(e[-+]?\d+)?%?", cell, re.IGNORECASE) for cell in cells
    )
    return commas and not points


def _columns(
    rows: Sequence[Row], headings: Sequence[str], place: int, comma: bool
) -> tuple[list[_Column], list[str]]:
    """Returns the columns that are part of an answer, and notes on those that are not."""
    width = max(len(cells) for _, cells in rows) if rows else 0
    columns: list[_Column] = []
    left_out: list[_Column] = []
    for at in range(width):
        if at == place:
            continue
        heading = _cell(headings, at).strip()
        cells = [_cell(row, at).strip() for _, row in rows]
        # A single column may be of labels, most of which are numbers.
        column = _Column(heading, cells, _numbers(rows, at, comma, _STRAY if width > 2 else 0))
        unnamed = bool(headings) and not heading.strip("#")
        numbered = (at < place or unnamed) and len(rows) >= _NUMBERED
        if not any(cells):
            continue
        if _ASIDE.fullmatch(heading) or (numbered and column.rising):
            left_out.append(column)
        else:
            columns.append(column)
    if not columns or not left_out:
        return columns or left_out, []
    names = [column.heading or "row numbers" for column in left_out]
    return columns, [f"left out of the answers: {listed(names)}"]


def _numbers(rows: Sequence[Row], at: int, comma: bool, stray: float) -> list[float]:
    """Returns the numbers of a column; nothing if it holds words.

    A word among many numbers, such as ``timeout``, says that there is none.
    """
    found, words = [], 0
    for line, cells in rows:
        try:
            value = number_of(_cell(cells, at), comma=comma)
        except MalformedFile as error:
            raise MalformedFile(f"line {line}: {error}") from error
        words += value is None
        found.append(math.nan if value is None else value)
    return found if words <= stray * len(rows) else []


def _entries(pictures: Sequence[str], columns: Sequence[_Column], notes: list[str]) -> list[Entry]:
    labels, scores = _split(columns)
    if len(labels) == 1 and not scores and _is_json(labels[0]):
        return [
            _document(picture, cell)
            for picture, cell in zip(pictures, labels[0].cells, strict=True)
        ]
    if labels and scores and len(labels) != len(scores):
        if len(labels) > 1:
            raise MalformedFile(
                f"expected a score for each label or a column for each class, got {len(labels)} "
                f"columns of labels and {len(scores)} of numbers; leave only the answers"
            )
        notes.append("the label was left out, for there is a number for each class")
        labels = []
    if not labels:
        return _vectors(pictures, scores)
    found = []
    for row, picture in enumerate(pictures):
        named = tuple(
            (label.cells[row], scores[at].numbers[row] if scores else math.nan)
            for at, label in enumerate(labels)
            if _says_something(label, row)
        )
        found.append(Entry(picture=picture, named=named))
    return found


def _says_something(label: _Column, row: int) -> bool:
    missing = bool(label.numbers) and math.isnan(label.numbers[row])
    return not missing and not is_blank(label.cells[row])


def _vectors(pictures: Sequence[str], columns: Sequence[_Column]) -> list[Entry]:
    """Returns a number for each class, in the order of their numbers where headings are such."""
    places = [index_of(column.heading) for column in columns]
    if (
        None not in places
        and len(set(places)) == len(columns)
        and set(places) == set(range(len(columns)))
    ):
        columns = [columns[places.index(at)] for at in range(len(columns))]
    return [
        Entry(picture=picture, values=tuple(column.numbers[row] for column in columns))
        for row, picture in enumerate(pictures)
    ]


def _split(columns: Sequence[_Column]) -> tuple[list[_Column], list[_Column]]:
    """Tells labels from scores."""
    words = [column for column in columns if not column.numbers]
    numbers = [column for column in columns if column.numbers]
    called = [one for one in numbers if one.whole and _LABEL.fullmatch(one.heading)]
    if words:
        return words, [one for one in numbers if one not in called]
    if not numbers or _one_hot(numbers):
        return words, numbers
    if called and _differ(called):
        return called, [one for one in numbers if one not in called]
    if len(numbers) == 1:
        score = not numbers[0].whole or _SCORE.match(numbers[0].heading)
        return ([], numbers) if score else (numbers, [])
    half = len(numbers) // 2
    for labels, scores in (
        (numbers[0::2], numbers[1::2]),
        (numbers[:half], numbers[half:]),
    ):
        paired = len(labels) == len(scores) and all(one.whole for one in labels)
        if paired and not any(one.whole for one in scores):
            return labels, scores
    return ([numbers[0]], numbers[1:]) if _names_largest(numbers) else ([], numbers)


def _differ(columns: Sequence[_Column]) -> bool:
    """Whether no row has a number twice, as no class is named twice."""
    rows = zip(*(column.numbers for column in columns), strict=True)
    return all(len(set(row)) == len(row) for row in rows)


def _one_hot(columns: Sequence[_Column]) -> bool:
    """Whether each row has a one and zeros, a column for each class."""
    rows = zip(*(column.numbers for column in columns), strict=True)
    return len(columns) > 1 and all(
        sorted(row) == [0.0] * (len(row) - 1) + [1.0] or all(map(math.isnan, row)) for row in rows
    )


def _names_largest(columns: Sequence[_Column]) -> bool:
    """Whether the first column says which of the others is largest."""
    if len(columns) < 3 or not columns[0].whole:
        return False
    rows = [
        row
        for row in zip(*(one.numbers for one in columns), strict=True)
        if not any(map(math.isnan, row))
    ]
    return bool(rows) and all(row[1:].index(max(row[1:])) == row[0] for row in rows)


def _is_json(column: _Column) -> bool:
    there = [cell for cell in column.cells if cell]
    return all(cell.startswith(("[", "{")) for cell in there)


def _document(picture: str, cell: str) -> Entry:
    try:
        return documents.entry_of(picture, json.loads(cell) if cell else None)
    except (ValueError, RecursionError) as error:
        raise MalformedFile(
            f"expected a JSON list in the row of {picture}, got '{clean(cell, 40)}'"
        ) from error
