"""The drawings of a report: SVG of matplotlib, each for light and for dark paper.

They are pictures to the page, not parts of it: nothing in them, a name either, can act.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from registry.reports.family import SUSPECT_COLOUR
from registry.reports.tables import Point, Strip

__all__ = ["Drawing", "drawn", "harm_figure", "resemblance_figure"]

_STRANGERS, _KIN, _SOURCE, _MARGIN = "#8a8a8a", "#c2711a", "#1f9d8f", "#d9303e"
# In inches: a row, what stands above and below the rows, and a character of a name.
_ROW, _ABOVE, _BELOW, _CHARACTER = 0.3, 0.6, 0.55, 0.082
_WIDE, _NARROWEST = 9.0, 5.2
_FONT = 10
_PIXELS = 864
"""Width of every drawing on the page, whatever it was drawn at."""
_FEWEST = 2
_MOST = 1.6
"""Harm ratios above this are drawn at the edge."""
_PAPERS = {"light": ("#ffffff", "#1c2026"), "dark": ("#16191e", "#e4e7eb")}
"""Paper and ink, as in the page's style sheet."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawing twice, as ``data:`` addresses, and its size in pixels."""

    light: str
    dark: str
    width: int
    height: int


def drawn(make: Callable[[], Any]) -> Drawing:
    """Draws a figure for both kinds of paper.

    Args:
        make: Makes the figure by the settings of matplotlib as they are when it is called.
    """
    pictures, sizes = {}, (0.0, 0.0)
    for kind, (paper, ink) in _PAPERS.items():
        pictures[kind], sizes = _svg(make, paper, ink)
    height = round(_PIXELS * sizes[1] / sizes[0])
    return Drawing(light=pictures["light"], dark=pictures["dark"], width=_PIXELS, height=height)


def _svg(make: Callable[[], Any], paper: str, ink: str) -> tuple[str, tuple[float, float]]:
    import matplotlib as mpl

    settings: dict[Any, Any] = {
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), paper),
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), ink),
        **dict.fromkeys(("xtick.color", "ytick.color", "legend.labelcolor"), ink),
        # Text stays text: small, and in the script it is written in.
        "svg.fonttype": "none",
        "svg.hashsalt": "nullprint",
    }
    with mpl.rc_context(settings):
        figure = make()
        stream = io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", metadata=nothing)
    width, height = figure.get_size_inches()
    address = "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return address, (float(width), float(height))


def harm_figure(strips: Sequence[Strip]) -> Any:
    """Draws harm ratios by candidate and depth: the suspect beside source, kin and strangers."""
    figure, axes = _rows([f"{one.candidate}: {one.depth}" for one in strips])
    for row, one in enumerate(strips):
        for ratios, colour, down in ((one.strangers, _STRANGERS, 0.22), (one.kin, _KIN, -0.22)):
            axes.plot(list(map(_shown, ratios)), [row + down] * len(ratios), "o", color=colour,
                      markersize=4, alpha=0.8)  # fmt: skip
        if one.source is not None:
            axes.plot(_shown(one.source), row, "s", color=_SOURCE, markersize=5)
        if one.margin is not None:
            axes.plot([one.margin] * 2, [row - 0.42, row + 0.42], color=_MARGIN, linewidth=1.6)
        _suspect(axes, row, one.ratio, one.interval)
    axes.set_xlim(0, _MOST)
    axes.set_xlabel(
        "harm ratio: near 0 the model itself, near 1 nothing to do with it", fontsize=_FONT
    )
    _explain(figure, ("suspect, 95 % interval", SUSPECT_COLOUR, "D"), ("margin", _MARGIN, "|"),
             ("the model itself", _SOURCE, "s"), ("its registered kin", _KIN, "o"),
             ("independent models", _STRANGERS, "o"))  # fmt: skip
    return figure


def resemblance_figure(points: Sequence[Point]) -> Any:
    """Draws the resemblance to every candidate, with its margin."""
    figure, axes = _rows([one.candidate for one in points])
    for row, one in enumerate(points):
        if one.margin is not None:
            axes.plot([one.margin] * 2, [row - 0.42, row + 0.42], color=_MARGIN, linewidth=1.6)
        _suspect(axes, row, one.value, one.interval)
    axes.set_xlim(min(-0.3, *(one.value for one in points)) - 0.05, 1.05)
    axes.set_xlabel("resemblance: 1 the same arrangement of the panel, near 0 none", fontsize=_FONT)
    _explain(figure, ("suspect, 95 % interval", SUSPECT_COLOUR, "D"), ("margin", _MARGIN, "|"))
    return figure


def _shown(ratio: float) -> float:
    return min(ratio, _MOST)


def _suspect(
    axes: Any, row: int, value: float | None, interval: tuple[float, float] | None
) -> None:
    if value is None:
        return
    if interval is not None:
        ends = [_shown(end) for end in interval]
        axes.plot(ends, [row, row], color=SUSPECT_COLOUR, linewidth=2, solid_capstyle="butt")
    axes.plot(_shown(value), row, "D", color=SUSPECT_COLOUR, markersize=5.5, clip_on=False)


def _rows(names: Sequence[str]) -> tuple[Any, Any]:
    """Returns a figure with a row for each name, placed in inches, and its axes."""
    from matplotlib.figure import Figure

    count = max(len(names), _FEWEST)
    beside = 0.2 + _CHARACTER * max(map(len, names), default=0)
    height = _ABOVE + _BELOW + _ROW * count
    width = max(_WIDE, beside + _NARROWEST)
    figure = Figure(figsize=(width, height))
    box = (beside / width, _BELOW / height, 1 - (beside + 0.2) / width, _ROW * count / height)
    axes = figure.add_axes(box)
    # Names are no mathematics, whatever dollars are in them.
    axes.set_yticks(range(len(names)), list(names), fontsize=_FONT, parse_math=False)
    axes.set_ylim(count - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=_FONT)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#8a8a8a40", linewidth=0.6)
    axes.set_axisbelow(True)
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)
    return figure, axes


def _explain(figure: Any, *entries: tuple[str, str, str]) -> None:
    from matplotlib.lines import Line2D

    figure.legend(
        handles=[
            Line2D([], [], color=colour, marker=marker, linestyle="", markersize=6, label=label)
            for label, colour, marker in entries
        ],
        loc="upper left",
        bbox_to_anchor=(0, 1),
        ncols=5,
        columnspacing=1.2,
        handletextpad=0.2,
        fontsize=_FONT,
        frameon=False,
    )
