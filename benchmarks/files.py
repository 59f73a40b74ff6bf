"""How benchmarks name and write what they keep, so that they can be stopped at any moment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["atomically", "stem"]


def stem(name: str) -> str:
    """Returns a name as a file's name."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Yields a path to write to; it takes the place of ``path`` when the block succeeds."""
    temporary = path.with_name(f".{path.name}.{time.time_ns()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
