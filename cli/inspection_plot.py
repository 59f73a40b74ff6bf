"""A picture of an inspection: every layer's harmless share, and its smallest singular values.

What it has in common with other pictures is in :mod:`cli.plots`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import plots
from fingerprint.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fingerprint.inspection import Inspection, LayerFacts

__all__ = ["draw"]

_LINEAR = "#2166ac"
_BOUND = "#a6cbe6"
_NONLINEAR = "#d6841f"
_UNKNOWN = "#8a8a8a"
_WIDE = 8.5  # inches without names
_NAME = 44  # longest name shown


def draw(found: Inspection, path: Path) -> None:
    """Draws an inspection to a file: all of it or nothing; a file that is there is replaced.

    Args:
        found: The inspection.
        path: Ends in .png, .svg or .pdf.

    Raises:
        EnvironmentFailure: The file cannot be written.
    """
    plots.save(_figure(found), path)


def _figure(found: Inspection) -> Any:
    layers = found.layers
    names = [clean(layer.name, _NAME) for layer in layers]
    figure, (shares, values) = plots.rows(names, wide=_WIDE, ratios=(3, 2))
    _draw_shares(shares, layers)
    _draw_values(values, layers)
    shape = "x".join(map(str, found.input.shape))
    title = (
        f"{clean(found.architecture)}, input {shape}, nonlinear layers at {clean(found.given, 60)}"
    )
    plots.explain(figure, shares, title)
    return figure


def _draw_shares(axes: Any, layers: Sequence[LayerFacts]) -> None:
    kinds = (
        ("harmless (linear layer)", _LINEAR, lambda layer: layer.affine and layer.share),
        ("at least harmless", _BOUND, _bound),
        ("free at this input (nonlinear layer)", _NONLINEAR, lambda x: not x.affine and x.share),
    )
    for label, colour, share in kinds:
        found = [(row, share(layer)) for row, layer in enumerate(layers)]
        known = [(row, value) for row, value in found if value is not None and value is not False]
        if not known:
            continue
        rows = [row for row, _ in known]
        axes.barh(rows, [value for _, value in known], height=0.75, color=colour, label=label)
        # A share of zero is an answer: it has a mark of its own.
        zero = [row for row, value in known if value == 0]
        axes.plot([0.0] * len(zero), zero, "o", color=colour, markersize=4, clip_on=False)
    unknown = [row for row, layer in enumerate(layers) if layer.share is None and not _bound(layer)]
    if unknown:
        axes.plot(
            [0.01] * len(unknown), unknown, "x", color=_UNKNOWN, markersize=4, label="not computed"
        )
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("share of the input's dimensions", fontsize=8)


def _bound(layer: LayerFacts) -> float | None:
    """Returns the share that is harmless at least, where only a bound is known."""
    if not layer.affine or layer.dimension is not None or not layer.at_least:
        return None
    return layer.at_least / layer.n


def _draw_values(axes: Any, layers: Sequence[LayerFacts]) -> None:
    dots = [
        (value, row)
        for row, layer in enumerate(layers)
        for value in layer.singular_values
        if value > 0
    ]
    axes.plot(
        [value for value, _ in dots], [row for _, row in dots], "o", color=_LINEAR, markersize=3
    )
    if dots:
        axes.set_xscale("log")
    axes.set_xlabel("smallest singular values that are not zero", fontsize=8)
