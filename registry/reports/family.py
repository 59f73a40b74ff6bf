"""A picture of a lineage: a row for each model, generations from left to right.

Arrows go from declared parents to children. Measured links and copies are arcs beside the
names, without a direction; those that contradict what was declared are red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fingerprint.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.lineage import Edge, Lineage

__all__ = ["SUSPECT_COLOUR", "family_figure"]

SUSPECT_COLOUR = "#a855f7"
"""Seen on white as well as on black; the drawings of a report share it."""
_MODEL = "#2166ac"
_REFERENCE = "#d6841f"
_LINK = "#4d9221"
_COPY = "#8a8a8a"
_WRONG = "#c51b2b"
# In inches: a row, a generation, a character of a name, the room for arcs, and the margins.
_ROW = 0.24
_STEP = 0.4
_CHARACTER = 0.075
_ARCS = 1.6
_ABOVE = 0.75
_EDGE = 0.25
_TALLEST = 120.0
_NAME = 44  # longest name shown


def family_figure(found: Lineage, *, suspect: str = "") -> Any:
    """Draws a lineage as a figure of matplotlib, in the colours of its settings.

    Args:
        found: The lineage.
        suspect: Name of the node that is no registered model but what a verdict speaks of.
    """
    from matplotlib.figure import Figure

    names = {node.name: clean(node.name, _NAME) for node in found.nodes}
    # Where arcs begin: behind the end of every name.
    rail = max(
        (_STEP * (n.generation + 0.5) + _CHARACTER * len(names[n.name]) for n in found.nodes),
        default=0.0,
    )
    rows = max(len(found.nodes), 3)
    height = min(_ROW * rows, _TALLEST)
    width = max(rail + _ARCS, 6.0)
    figure = Figure(figsize=(width + 2 * _EDGE, height + _ABOVE + _EDGE), dpi=120)
    axes = figure.add_axes(
        (
            _EDGE / (width + 2 * _EDGE),
            _EDGE / (height + _ABOVE + _EDGE),
            width / (width + 2 * _EDGE),
            height / (height + _ABOVE + _EDGE),
        )
    )
    axes.set_xlim(-0.1, width - 0.1)
    axes.set_ylim(rows - 0.5, -0.5)
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    _name_generations(axes, found)
    places = {node.name: (_STEP * node.generation, row) for row, node in enumerate(found.nodes)}
    _draw_models(axes, found, names, size=min(8.0, 72 * height / rows * 0.6), suspect=suspect)
    _draw_edges(axes, found, places, rail, suspect=suspect)
    _explain(figure, height, suspect=suspect)
    return figure


def _name_generations(axes: Any, found: Lineage) -> None:
    last = max((node.generation for node in found.nodes), default=0)
    axes.set_xticks([_STEP * number for number in range(last + 1)], list(range(last + 1)))
    axes.set_yticks([])
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title("generation", fontsize=7, loc="left", pad=4)


def _draw_models(
    axes: Any, found: Lineage, names: Mapping[str, str], *, size: float, suspect: str
) -> None:
    paper = axes.get_facecolor()
    for row, node in enumerate(found.nodes):
        shape, colour = "o", _REFERENCE if node.role == "reference" else _MODEL
        if node.name == suspect:
            shape, colour = "D", SUSPECT_COLOUR
        # Trained from scratch is full: nothing came before it.
        inside = colour if node.from_scratch or node.name == suspect else paper
        left = _STEP * node.generation
        axes.plot(left, row, shape, color=colour, markerfacecolor=inside, markersize=size * 0.7)
        # Names are no mathematics, whatever dollars are in them.
        text = axes.text(
            left + _STEP / 3, row, names[node.name], fontsize=size, va="center", parse_math=False
        )
        text.set_bbox({"facecolor": paper, "edgecolor": "none", "pad": 0.5})


def _draw_edges(
    axes: Any,
    found: Lineage,
    places: Mapping[str, tuple[float, int]],
    rail: float,
    *,
    suspect: str,
) -> None:
    family = {node.name: node.family for node in found.nodes}
    wrong = {frozenset((one.source, one.target)) for one in found.contradictions}
    wrong |= {
        frozenset((edge.source, edge.target))
        for edge in found.edges
        if family[edge.source] != family[edge.target]
    }
    arcs = [(places[e.source], places[e.target]) for e in found.edges if not e.directed]
    far = max((abs(one[1] - other[1]) for one, other in arcs), default=1)
    # A thin line leads from each name that has arcs to where they begin.
    for left, row in {end for ends in arcs for end in ends}:
        axes.plot([left, rail], [row, row], color="#8a8a8a66", linewidth=0.5, zorder=0)
    for edge in found.edges:
        ends = frozenset((edge.source, edge.target))
        of_suspect = SUSPECT_COLOUR if suspect in ends else None
        wrongly = _WRONG if ends in wrong else None
        if edge.directed:
            _draw_arrow(axes, places, edge, of_suspect or wrongly or _MODEL)
            continue
        colour = of_suspect or (_COPY if edge.kind == "copy" else wrongly or _LINK)
        rows = (places[edge.source][1], places[edge.target][1])
        reach = 0.9 * _ARCS * (0.25 + 0.75 * abs(rows[0] - rows[1]) / max(far, 1))
        _draw_arc(axes, rail, rows, reach, colour=colour, style=_style(edge))


def _draw_arrow(
    axes: Any, places: Mapping[str, tuple[float, int]], edge: Edge, colour: str
) -> None:
    axes.annotate(
        "",
        xy=places[edge.target],
        xytext=places[edge.source],
        zorder=1,
        arrowprops={
            "arrowstyle": "-|>",
            "color": colour,
            "linewidth": 0.9,
            "shrinkA": 3,
            "shrinkB": 3,
            "connectionstyle": "angle,angleA=-90,angleB=180,rad=0",
        },
    )


def _draw_arc(
    axes: Any, left: float, rows: tuple[int, int], reach: float, *, colour: str, style: str
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    # The curve's middle lies at three quarters of its handles.
    ends = [(left, rows[0]), (left + reach / 0.75, rows[0])]
    ends += [(left + reach / 0.75, rows[1]), (left, rows[1])]
    curve = Curve(ends, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
    axes.add_patch(PathPatch(curve, fill=False, edgecolor=colour, linestyle=style, linewidth=1.2))
    axes.plot([left, left], rows, ".", color=colour, markersize=4)


def _style(edge: Edge) -> str:
    if edge.kind == "copy":
        return ":"
    return "-" if edge.mutual else "--"


def _explain(figure: Any, height: float, *, suspect: str) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=_MODEL, marker=">", markersize=4, label="declared parent to child"),
        Line2D([], [], color=_LINK, label="measured, both ways"),
        Line2D([], [], color=_LINK, linestyle="--", label="measured, one way"),
        Line2D([], [], color=_COPY, linestyle=":", label="same weights"),
        Line2D([], [], color=_WRONG, label="not declared, or contradicts it"),
        Line2D([], [], color=_MODEL, marker="o", linestyle="", label="from scratch"),
        Line2D([], [], color=_REFERENCE, marker="o", linestyle="", label="reference"),
    ]
    if suspect:
        said = "what this verdict says of the suspect"
        lines.append(Line2D([], [], color=SUSPECT_COLOUR, marker="D", markersize=4, label=said))
    top = 1 - 0.02 / (height + _ABOVE + _EDGE)
    figure.legend(
        handles=lines,
        loc="upper center",
        bbox_to_anchor=(0.5, top),
        ncols=4,
        fontsize=6,
        frameon=False,
    )
