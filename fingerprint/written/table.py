"""From the bytes of a table to its rows: encodings, separators, and what spreadsheets leave."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from itertools import islice

from fingerprint.errors import InputRefused, MalformedFile, UnsafeFile
from fingerprint.text import clean
from fingerprint.written.entries import picture_of

__all__ = ["MAX_CELLS", "Row", "decoded", "rows_of"]

MAX_CELLS = 2**22
"""Most cells of a table: 4000 pictures of 1000 classes."""

Row = tuple[int, list[str]]
"""A row with the number of its line, for messages."""

_SEPARATORS = (",", ";", "\t", "|")
_LOOKED_AT = 300
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SAID = re.compile(r"sep=([,;\t|])\r?\n", re.IGNORECASE)


def decoded(data: bytes) -> str:
    """Returns the text of a file: UTF-8, UTF-16 with its mark, or the old Western code page.

    Raises:
        MalformedFile: It is a workbook, or no text.
    """
    if data.startswith(_WORKBOOKS):
        raise MalformedFile("expected a table as text, got a workbook or archive; save it as CSV")
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    encodings = ["utf-16"] if wide else ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        strange = _CONTROL.search(text)
        if strange is not None:
            raise MalformedFile(
                f"expected text, got the control character {clean(strange[0])}; write CSV or JSON"
            )
        return text
    raise MalformedFile("expected text, got bytes that are none; write CSV or JSON as UTF-8")


def rows_of(text: str, known: Collection[str]) -> list[Row]:
    """Returns the rows that are not empty, without empty cells at their ends.

    The separator is the one that lets most rows name a picture.

    Args:
        text: The whole table.
        known: Names of pictures.

    Raises:
        MalformedFile: A cell or a quotation does not end, or a cell holds a formula.
        UnsafeFile: There are more than ``MAX_CELLS`` cells.
    """
    said = _SAID.match(text)
    skipped = 0
    if said is not None:
        separator, text, skipped = said[1], text[said.end() :], 1
    else:
        separator = max(_SEPARATORS, key=lambda one: _naming(text, one, known))
    return list(_rows(text, separator, skipped))


def _naming(text: str, separator: str, known: Collection[str]) -> tuple[int, int]:
    """How many of the first rows name a picture, and how many cells those rows have."""
    rows = cells = 0
    try:
        for _, row in islice(_rows(text, separator, 0), _LOOKED_AT):
            if any(picture_of(cell, known) for cell in row):
                rows, cells = rows + 1, cells + len(row)
    except InputRefused:
        pass  # By another separator it may be a table; if not, reading it says why.
    return rows, cells


def _rows(text: str, separator: str, skipped: int) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    room = MAX_CELLS
    try:
        for cells in reader:
            while cells and not cells[-1].strip():
                cells.pop()
            room -= len(cells) or 1
            if room < 0:
                raise UnsafeFile(f"expected at most {MAX_CELLS} cells, got more; give fewer")
            line = reader.line_num + skipped
            formula = next((one for one in cells if one.lstrip().startswith("=")), None)
            if formula is not None:
                raise MalformedFile(
                    f"line {line}: expected a value, got the formula '{clean(formula, 40)}'; "
                    "export values"
                )
            if cells:
                yield line, cells
    except csv.Error as error:
        raise MalformedFile(f"line {reader.line_num + skipped}: {clean(error)}") from error
