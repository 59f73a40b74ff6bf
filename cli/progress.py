"""Progress bars on stderr, fed by the library's progress callback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cli.output import Output, console
from fingerprint.text import clean

__all__ = ["progress_bars"]


def _nothing(stage: str, done: int, total: int) -> None:
    del stage, done, total


@contextmanager
def progress_bars(output: Output) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a callback ``(stage, done, total)`` that draws one bar for each stage.

    Off a terminal, and with ``--json`` or ``--quiet``, the callback draws nothing. The bars
    vanish when the block ends.
    """
    if not output.shows_progress:
        yield _nothing
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True) as bars:
        tasks = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(clean(stage, 40), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
