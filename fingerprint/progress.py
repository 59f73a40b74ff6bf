"""How long work reports its progress: a callback, so the library never prints."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "part_of", "silent"]

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``; ``stage`` is a short phrase such as ``solving``."""


def silent(stage: str, done: int, total: int) -> None:
    """Reports nothing; the default."""
    del stage, done, total


def part_of(progress: Progress, done: int, size: int, total: int) -> Progress:
    """Reports a part's own progress as a share of the whole.

    Args:
        progress: Told of the whole, in thousandths.
        done: How much of it lies behind when the part begins.
        size: How much the part is.
        total: How much the whole is.
    """

    def report(stage: str, step: int, steps: int) -> None:
        progress(stage, round(1000 * (done + size * step / steps) / total), 1000)

    return report
