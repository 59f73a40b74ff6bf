"""Numbers and times as people read them: rounded, and with a dash where there is none."""

from __future__ import annotations

from datetime import UTC, datetime

from fingerprint.text import clean

__all__ = ["NONE", "interval", "number", "p_value", "when"]

NONE = "-"
"""What is shown where there is no number."""


def number(value: float | None) -> str:
    """Returns two decimals, two significant digits where those say more, or ``-``."""
    if value is None:
        return NONE
    return f"{value:.2f}" if 0.1 <= abs(value) < 100 else f"{value:.2g}"


def p_value(value: float | None) -> str:
    """Returns a p-value with two significant digits."""
    return NONE if value is None else f"{value:.2g}"


def when(text: str) -> str:
    """Returns a time in UTC as people write it, such as ``2026-01-31 12:00``."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError):
        return clean(text)


def interval(value: float | None, ends: tuple[float, float] | None) -> str:
    """Returns an estimate with its confidence interval, such as ``0.33 [0.27, 0.41]``."""
    if ends is None:
        return number(value)
    return f"{number(value)} [{number(ends[0])}, {number(ends[1])}]"
