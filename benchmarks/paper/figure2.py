"""Figure 2: how many dimensions of a first layer's inputs are harmless, against its outputs.

    python -m benchmarks.paper.figure2 [--data DIR] [--work DIR] [--out DIR]

(a) The first convolutions of ResNet-18, ResNet-50, VGG-16 and EfficientNet-B0 as timm builds
them, on 3x32x32 inputs, at strides 1 to 8; only the stride is varied. (b) The first layer of a
perceptron of five layers on inputs as large as MNIST's and SVHN's, against its width.

The paper's formula is max(0, n - m). Its Corollary 1 asks for linearly independent kernels no
smaller than the stride, and leaves padding out; ours is n - rank(A) whatever the layer, checked
with numpy's rank of the matrix that torch's own convolution gives where that is small enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from benchmarks.paper.dimensions import Dimension, measured
from benchmarks.paper.experiment import Findings, Options, Table, publish, read_options
from benchmarks.paper.networks import trained
from benchmarks.pictures import COLOURS, MARKERS, drawing
from benchmarks.report import progress
from fingerprint.lab.training import one_thread

__all__ = ["convolutions", "draw", "main", "perceptrons", "tables"]

SHAPE = (3, 32, 32)
STRIDES = range(1, 9)
CONVOLUTIONS = {
    "ResNet-18": ("resnet18", "conv1"),
    "ResNet-50": ("resnet50", "conv1"),
    "VGG-16": ("vgg16", "features.0"),
    "EfficientNet-B0": ("efficientnet_b0", "conv_stem"),
}
PERCEPTRONS = {"MNIST size": 784, "SVHN size": 3072}
WIDTHS = (64, 128, 256, 512, 784, 1024, 2048, 3072, 4096)


def convolutions() -> dict[str, list[Dimension]]:
    """Measures every first convolution at every stride, in timm's initial weights."""
    found: dict[str, list[Dimension]] = {}
    for number, (title, (name, place)) in enumerate(CONVOLUTIONS.items()):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layer = timm.create_model(name).get_submodule(place)
        assert isinstance(layer, nn.Conv2d)
        rows = []
        for stride in STRIDES:
            layer.stride = (stride, stride)
            rows.append(measured(layer, SHAPE))
            progress("convolutions", number * len(STRIDES) + stride, len(CONVOLUTIONS) * 8)
        side = layer.kernel_size[0]
        words = f"{side}×{side}, {layer.out_channels} kernels, padding {layer.padding[0]}"
        found[f"{title} ({words})"] = rows
    return found


def perceptrons() -> dict[str, list[Dimension]]:
    """Measures the first layer of perceptrons of growing width, in torch's initial weights."""
    found = {}
    for title, n in PERCEPTRONS.items():
        rows = []
        for number, width in enumerate(WIDTHS):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                layer = _perceptron(n, width)[0]
            assert isinstance(layer, nn.Linear)
            rows.append(measured(layer, (n,)))
            progress(f"perceptrons, {title}", number + 1, len(WIDTHS))
        found[title] = rows
    return found


def _perceptron(n: int, width: int) -> nn.Sequential:
    """Builds the paper's MLP-5: five linear layers; the first is the one that is looked at."""
    widths = (n, width, 256, 128, 64)
    layers: list[nn.Module] = []
    for wide, narrow in itertools.pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def after_training(options: Options) -> dict[str, Dimension]:
    """Measures the first convolutions of trained networks."""
    found = {}
    for name in ("resnet50-strided", "resnet50-dense"):
        model = trained(name, options)
        layer = model.module.get_submodule("conv1")
        assert isinstance(layer, nn.Conv2d)
        found[f"{name}, stride {layer.stride[0]}"] = measured(layer, model.input.shape)
    return found


def tables(
    convolved: Mapping[str, Sequence[Dimension]],
    connected: Mapping[str, Sequence[Dimension]],
    learned: Mapping[str, Dimension],
) -> tuple[Table, ...]:
    """Writes the tables: one for each kind of first convolution, one for perceptrons."""
    same: dict[tuple[Dimension, ...], list[str]] = {}
    for title, found in convolved.items():
        same.setdefault(tuple(found), []).append(title)
    return (
        *(
            _table(f"(a) {' and '.join(titles)}", "stride", map(str, STRIDES), rows)
            for rows, titles in same.items()
        ),
        *(
            _table(f"(b) First layer of MLP-5, {title}", "width", map(str, WIDTHS), rows)
            for title, rows in connected.items()
        ),
        _table("First convolutions after training", "network", learned, list(learned.values())),
    )


def _table(caption: str, heading: str, names: Iterable[str], rows: Sequence[Dimension]) -> Table:
    headings = (
        heading,
        "inputs n",
        "outputs m",
        "rank A",
        "n − rank A",
        "paper: max(0, n − m)",
        "rank by numpy",
        "why they differ",
    )
    cells = (
        (
            name,
            *map(str, (row.n, row.m, row.rank, row.harmless, row.formula)),
            "too large" if row.checked is None else str(row.checked),
            "; ".join(row.reasons),
        )
        for name, row in zip(names, rows, strict=True)
    )
    return Table(caption=caption, headings=headings, rows=tuple(cells))


def draw(
    convolved: Mapping[str, Sequence[Dimension]],
    connected: Mapping[str, Sequence[Dimension]],
    path: Path,
) -> None:
    """Draws the paper's two panels: what is there, and the formula's curve, dashed."""
    with drawing(path, width=8.2, height=3.7) as figure:
        left, right = figure.subplots(1, 2)
        for index, (title, rows) in enumerate(convolved.items()):
            _curve(left, STRIDES, rows, index, title.partition(" (")[0])
        left.set_xlabel("stride of the first convolution")
        left.set_ylabel("harmless dimension")
        left.set_title("(a) first convolutions, 3×32×32 inputs")
        for index, (title, rows) in enumerate(connected.items()):
            _curve(right, WIDTHS, rows, index, f"{title}, n = {rows[0].n}")
        right.set_xlabel("width of the first layer")
        right.set_title("(b) first layer of MLP-5")
        for axes in (left, right):
            axes.grid()
            axes.plot(
                [], [], color="black", linestyle="--", linewidth=1, label="paper: max(0, n − m)"
            )
            axes.legend(fontsize=8)


def _curve(axes: Any, x: Sequence[int], rows: Sequence[Dimension], index: int, label: str) -> None:
    colour = COLOURS[index]
    formula = [row.formula for row in rows]
    axes.plot(x, formula, color="black", linestyle="--", linewidth=1, zorder=5)
    axes.plot(
        x,
        [row.harmless for row in rows],
        color=colour,
        marker=MARKERS[index],
        # Equal curves lie on each other: the lower one shows round the upper one.
        markersize=(11, 7, 8, 4)[index],
        markerfacecolor="white" if index == 0 else colour,
        linewidth=(4, 1.6, 4, 1.6)[index],
        label=label,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, draws and publishes."""
    options = read_options(__doc__, arguments)
    with one_thread():
        convolved, connected = convolutions(), perceptrons()
        learned = after_training(options)
    draw(convolved, connected, options.out / "figure2.svg")
    publish(
        Findings(
            name="figure2",
            tables=tables(convolved, connected, learned),
            numbers={
                "convolutions": {name: _numbers(rows) for name, rows in convolved.items()},
                "perceptrons": {name: _numbers(rows) for name, rows in connected.items()},
                "after training": dict(zip(learned, _numbers(learned.values()), strict=True)),
            },
        ),
        options,
    )


def _numbers(rows: Iterable[Dimension]) -> list[dict[str, Any]]:
    return [{**asdict(row), "harmless": row.harmless, "formula": row.formula} for row in rows]


if __name__ == "__main__":
    main()
