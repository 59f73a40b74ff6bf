"""What one line of an answers file says of one picture, before it is known what the answers are."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from fingerprint.errors import MalformedFile
from fingerprint.text import clean

__all__ = ["Entry", "index_of", "is_blank", "number_of", "picture_of"]

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_LIKE_A_NUMBER = re.compile(r"[+-]?[\d.,' ]*\d[\d.,' ]*%?", re.ASCII)
_INDEX = re.compile(r"(?:label|class)?[-_ ]?(\d{1,9})(?:\.0)?", re.IGNORECASE | re.ASCII)
_NOTHING = frozenset(
    ("", "-", "n/a", "na", "nan", "null", "none", "inf", "+inf", "-inf", "infinity", "-infinity")
)
_FAILED = re.compile(r"#(?:N/A|NV|[^\W_]+(?:/0)?[!?])")
_PICTURE = re.compile(r"([a-z]+)(?:\.[a-z0-9]{1,5})?(?:\?\S*)?", re.ASCII)
_LONGEST = 64


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is said of one picture, once.

    Attributes:
        picture: The picture's name, as it was handed out.
        values: One number for each class; NaN where there is none. Empty where classes are named.
        named: The classes that are named, with their scores, NaN for a class without one.
    """

    picture: str
    values: tuple[float, ...] = ()
    named: tuple[tuple[str, float], ...] = field(default=())


def picture_of(text: str, known: Collection[str]) -> str | None:
    r"""Returns the picture that a cell speaks of, whatever folder and suffix it is given with.

    ``C:\pictures\BCDF.PNG``, ``./bcdf.jpg`` and ``bcdf`` are one. Nothing is ever opened by it.
    """
    last = text.strip().strip("'\"").replace("\\", "/").rpartition("/")[2]
    found = _PICTURE.fullmatch(last.strip().lower())
    return found[1] if found is not None and found[1] in known else None


def number_of(cell: str, *, comma: bool = False) -> float | None:
    """Returns the number in a cell; NaN where it says that there is none, None for a word.

    Args:
        cell: Its text.
        comma: Whether decimals stand behind a comma.

    Raises:
        MalformedFile: It holds digits that are no number, such as ``1.234,5``.
    """
    if len(cell) <= _LONGEST and _NUMBER.fullmatch(cell):
        return float(cell)
    text = cell.strip().replace("\u2212", "-").replace("\xa0", "")
    if text.lower() in _NOTHING or is_blank(text):
        return math.nan
    share = text.endswith("%")
    plain = text.removesuffix("%").strip()
    if comma:
        plain = plain.replace(",", ".")
    if len(plain) <= _LONGEST and _NUMBER.fullmatch(plain):
        return float(plain) / 100 if share else float(plain)
    if _LIKE_A_NUMBER.fullmatch(text):
        raise MalformedFile(
            f"expected a number such as 0.25, got '{clean(text, 40)}'; write numbers without "
            "thousands separators"
        )
    return None


def index_of(word: str) -> int | None:
    """Returns the place of a class that is called by it, such as ``7``, ``7.0`` or ``LABEL_7``."""
    found = _INDEX.fullmatch(word.strip())
    return int(found[1]) if found else None


def is_blank(text: str) -> bool:
    """Whether a cell is empty, or holds what a spreadsheet writes where it failed: ``#N/A``."""
    return not text or _FAILED.fullmatch(text) is not None
