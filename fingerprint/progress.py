"""How long work reports its progress: a callback, so the library never prints."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "silent"]

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``; ``stage`` is a short phrase such as ``solving``."""


def silent(stage: str, done: int, total: int) -> None:
    """Reports nothing; the default."""
    del stage, done, total
