"""Progress bars on stderr, fed by the library's progress callback.

A bar has what is done, how much of it, for how long, and about how long it will take yet. It fits
80 columns, and has no colours: they would say nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cli.output import Output, console
from fingerprint.text import clean

__all__ = ["progress_bars"]

_BAR = 14
_STAGE = 24
_PLAIN = (
    *("bar.complete", "bar.finished", "bar.pulse", "progress.download"),
    *("progress.elapsed", "progress.remaining"),
)


def _nothing(stage: str, done: int, total: int) -> None:
    del stage, done, total


def _short(stage: str) -> str:
    return stage if len(stage) <= _STAGE else f"{stage[: _STAGE - 1]}…"


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
    from rich.theme import Theme

    columns = (
        TextColumn("{task.description}", style="none", markup=False),
        BarColumn(bar_width=_BAR),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("about", style="none"),
        TimeRemainingColumn(compact=True),
        TextColumn("left", style="none"),
    )
    screen = console(sys.stderr)
    screen.push_theme(Theme({**dict.fromkeys(_PLAIN, "none"), "bar.back": "dim"}))
    with Progress(*columns, console=screen, transient=True) as bars:
        tasks = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_short(clean(stage)), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
