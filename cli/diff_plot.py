"""A picture of a difference: how much every tensor changed, and how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import plots
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.weights.difference import Difference

__all__ = ["draw"]

_COLOURS = {
    "unchanged": "#8a8a8a",
    "reordered": "#762a83",
    "rescaled": "#af8dc3",
    "rounded": "#4d9221",
    "pruned": "#d6841f",
    "low rank": "#2166ac",
    "all": "#c51b2b",
    "not finite": "#000000",
}
_FLOOR = 1e-8
_NAME = 44


def draw(found: Difference, path: Path, *, names: tuple[str, str]) -> None:
    """Draws a difference to a file: all of it or nothing; a file that is there is replaced.

    Args:
        found: The difference.
        path: Ends in .png, .svg or .pdf.
        names: What was compared with what.

    Raises:
        EnvironmentFailure: The file cannot be written.
    """
    plots.save(_figure(found, names), path)


def _figure(found: Difference, names: tuple[str, str]) -> Any:
    rows = [clean(change.name, _NAME) for change in found.changes]
    figure, (axes,) = plots.rows(rows, wide=7.0)
    for kind, colour in _COLOURS.items():
        chosen = [(row, one) for row, one in enumerate(found.changes) if one.kind == kind]
        if not chosen:
            continue
        places = [row for row, _ in chosen]
        if kind in ("unchanged", "not finite"):
            mark = "o" if kind == "unchanged" else "x"
            left = [_FLOOR] * len(places)
            axes.plot(left, places, mark, color=colour, markersize=3, label=kind, clip_on=False)
            continue
        sizes = [max(one.relative or 0.0, _FLOOR) for _, one in chosen]
        axes.barh(places, sizes, height=0.75, color=colour, label=kind)
        for row, one in chosen:
            if one.note:
                text = plots.plain(one.note)
                axes.annotate(
                    text,
                    (max(one.relative or 0.0, _FLOOR), row),
                    xytext=(3, 0),
                    textcoords="offset points",
                    fontsize=5.5,
                    va="center",
                )
    axes.set_xscale("log")
    largest = max((one.relative or 0.0 for one in found.changes), default=0.0)
    axes.set_xlim(_FLOOR, 10 * max(largest, 1.0))
    axes.set_xlabel("relative change (norm of the difference by norm before)", fontsize=8)
    title = f"{clean(names[1], 60)} against {clean(names[0], 60)}"
    plots.explain(figure, axes, title)
    return figure
