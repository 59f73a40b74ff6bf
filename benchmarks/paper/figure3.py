"""Figure 3 and Table 1: what noise, harmless and least harmful perturbations do to a network.

    python -m benchmarks.paper.figure3 [--data DIR] [--work DIR] [--out DIR]

The error is the paper's: RMSE = E_x[ ‖ŷ(x) − y(x)‖ / √m ], y being the m logits of a test image and
ŷ those of the perturbed one, all in float64. Every perturbation of an image is scaled to the
same size, a root mean square of ε, 2ε, 4ε, ... 32ε per pixel value. The paper's text does not
say what its ε is; ours is 8/255, so that 32ε is noise N(0, 1), which the paper names. Its Lemma 2
has directions of length 1, so harmless and least harmful perturbations of length ε, ... 32ε are
measured besides. As in the paper nothing is clipped: perturbed images leave the range of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.paper.experiment import Findings, Table, publish, read_options
from benchmarks.paper.magnitudes import (
    EPSILON,
    HARMLESS,
    LEAST,
    NOISE,
    SCALES,
    Series,
    with_null_space,
    without_null_space,
)
from benchmarks.paper.networks import test_images
from benchmarks.pictures import COLOURS, MARKERS, drawing
from fingerprint.lab.training import one_thread

__all__ = ["PAPER", "draw", "main", "tables"]


PAPER = {
    NOISE: (0.1226, 0.3154, 0.8112, 1.7871, 3.3921, 5.0009),
    HARMLESS: (3.63e-15, 3.70e-15, 3.77e-15, 4.20e-15, 5.38e-15, 8.55e-15),
    LEAST: (0.0003, 0.0007, 0.0013, 0.0027, 0.0053, 0.0105),
}
"""The paper's Table 1, on its ResNet-50."""


def tables(series: Sequence[Series]) -> tuple[Table, ...]:
    """Writes the errors beside the paper's, and the accuracies."""
    sizes = tuple("ε" if scale == 1 else f"{scale}ε" for scale in SCALES)
    errors: list[tuple[str, str, Sequence[float]]] = [
        (kind, "the paper's ResNet-50", row) for kind, row in PAPER.items()
    ]
    errors += [(_kind(row), row.network, row.rmse) for row in series]
    shares = [(_kind(row), row.network, (row.natural, *row.accuracy)) for row in series]
    return (
        Table(
            caption="Table 1: root mean squared error between the logits of perturbed and natural "
            "test images",
            headings=("perturbation", "network", *sizes),
            rows=tuple((kind, name, *map(_error, row)) for kind, name, row in errors),
        ),
        Table(
            caption="Figure 3 in numbers: accuracy on perturbed test images",
            headings=("perturbation", "network", "none", *sizes),
            rows=tuple((kind, name, *(f"{x:.1%}" for x in row)) for kind, name, row in shares),
        ),
    )


def _kind(row: Series) -> str:
    return row.kind if row.precision == "float64" else f"{row.kind}, {row.precision}"


def _error(value: float) -> str:
    return f"{value:.4f}" if value >= 1e-3 else f"{value:.2e}"


def draw(series: Sequence[Series], path: Path) -> None:
    """Draws the paper's two panels: accuracy against the size of the perturbation."""
    with drawing(path, width=8.2, height=3.5) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        titles = (f"(a) {HARMLESS}s", f"(b) {LEAST}s")
        for axes, kind, title in zip(panels, (HARMLESS, LEAST), titles, strict=True):
            names = dict.fromkeys(row.network for row in series if row.kind == kind)
            for index, name in enumerate(names):
                _curves(axes, [row for row in series if row.network == name], index, kind)
            axes.set_xscale("log", base=2)
            axes.set_xticks(SCALES, [f"{scale}ε".removeprefix("1ε") or "ε" for scale in SCALES])
            axes.minorticks_off()
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
            axes.set_xlabel("size of the perturbation, ε = 8/255 root mean square")
            axes.set_title(title)
            axes.grid()
            axes.legend(fontsize=8)
        panels[0].set_ylabel("accuracy")


def _curves(axes: Any, series: Sequence[Series], index: int, kind: str) -> None:
    """Draws one network's curves: noise dashed, the panel's kind of perturbation solid."""
    for row in series:
        if row.precision == "float64" and row.kind in (NOISE, kind):
            axes.plot(
                SCALES,
                row.accuracy,
                color=COLOURS[index],
                marker=MARKERS[index],
                linestyle="--" if row.kind == NOISE else "-",
                markerfacecolor="white" if row.kind == NOISE else COLOURS[index],
                label=f"{row.network}: {row.kind}",
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, draws and publishes."""
    options = read_options(__doc__, arguments)
    test = test_images(options)
    with one_thread():
        series = [
            *with_null_space("resnet50-strided", options, test),
            *with_null_space("patch-vit", options, test),
        ]
        last, found, response = without_null_space("resnet50-dense", options, test)
    series += last
    draw(series, options.out / "figure3.svg")
    publish(
        Findings(
            name="figure3",
            tables=tables(series),
            numbers={
                "epsilon": EPSILON,
                "scales": SCALES,
                "series": [asdict(one) for one in series],
                "responses per unit length": {
                    "least harmful": float(found.singular_values[0]),
                    "noise": response,
                },
            },
        ),
        options,
    )


if __name__ == "__main__":
    main()
