"""Pictures that commands draw with matplotlib, which is no dependency of the package.

It is imported when it is needed, and nothing of it is global: no backend is chosen and no
window can open.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from fingerprint.files import write_whole
from fingerprint.text import clean

__all__ = ["check", "explain", "plain", "rows", "save"]

_SUFFIXES = (".png", ".svg", ".pdf")
# In inches: what a row takes, what stands above and below the rows, and a character of a name.
# Above the tallest, not every row has its name.
_ROW = 0.17
_ABOVE = 0.65
_BELOW = 0.55
_CHARACTER = 0.062
_TALLEST = 120.0
_FEWEST = 4


def check(path: Path, option: str, suffixes: Sequence[str] = _SUFFIXES) -> None:
    """Sees to it that a picture can be drawn before any work is begun.

    Args:
        path: Where to.
        option: What it was given with, for messages.
        suffixes: What the file's name may end in.

    Raises:
        typer.BadParameter: The file's name ends in nothing that can be drawn.
        EnvironmentFailure: matplotlib or the folder is missing, or cannot be written to.
    """
    from fingerprint.errors import EnvironmentFailure

    if path.suffix.lower() not in suffixes:
        raise typer.BadParameter(
            f"{option}: expected a file that ends in {', '.join(suffixes)}, "
            f"got '{clean(path.suffix)}'"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise EnvironmentFailure(f"{option}: needs matplotlib; pip install 'nullprint[plot]'")
    if not path.absolute().parent.is_dir():
        raise EnvironmentFailure(
            f"{option}: there is no folder {clean(path.parent)}; make it first"
        )
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise EnvironmentFailure(f"{option}: {clean(path)} cannot be written; choose another FILE")


def save(figure: Any, path: Path) -> None:
    """Writes a figure to a file: all of it or nothing; a file that is there is replaced.

    Raises:
        EnvironmentFailure: The file cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    write_whole(path, lambda stream: figure.savefig(stream, format=kind))


def plain(text: str) -> str:
    """Returns text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


def rows(names: Sequence[str], *, wide: float, ratios: Sequence[float] = (1,)) -> tuple[Any, Any]:
    """Returns a figure with a row for each name, from the top, and its axes side by side.

    Args:
        names: What stands beside the first axes.
        wide: Inches of width that names do not count for.
        ratios: Widths of the axes.
    """
    from matplotlib.figure import Figure

    height = min(_ABOVE + _BELOW + _ROW * max(len(names), _FEWEST), _TALLEST)
    beside = _CHARACTER * max(map(len, names), default=0)
    width = beside + wide
    figure = Figure(figsize=(width, height), dpi=120)
    # Placed in inches: a layout that is fitted leaves gaps in pictures this tall.
    axes = figure.subplots(
        1,
        len(ratios),
        sharey=True,
        squeeze=False,
        width_ratios=ratios,
        gridspec_kw={
            "left": (beside + 0.3) / width,
            "right": 1 - 0.2 / width,
            "top": 1 - _ABOVE / height,
            "bottom": _BELOW / height,
            "wspace": 0.06,
        },
    )[0]
    step = max(1, round(_ROW * len(names) / height))
    shown = range(0, len(names), step)
    axes[0].set_yticks(list(shown), [plain(names[row]) for row in shown], fontsize=7)
    axes[0].set_ylim(max(len(names), _FEWEST) - 0.5, -0.5)
    for side in axes:
        side.tick_params(axis="x", labelsize=7)
        side.grid(axis="x", color="#e0e0e0", linewidth=0.6)
        side.set_axisbelow(True)
        for edge in ("top", "right"):
            side.spines[edge].set_visible(False)
    return figure, axes


def explain(figure: Any, axes: Any, title: str) -> None:
    """Puts a title and what the colours mean above the rows of a figure.

    Args:
        figure: From :func:`rows`.
        axes: Whose labels are explained.
        title: One line.
    """
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        title=plain(title),
        title_fontsize=9,
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.05 / figure.get_size_inches()[1]),
        ncols=4,
        fontsize=8,
        frameon=False,
    )
