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
from benchmarks.paper.experiment import Findings, Options, Picture, Table, publish, read_options
from benchmarks.paper.networks import NETWORKS, trained
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
    every = [*itertools.chain(*convolved.values(), *connected.values()), *learned.values()]
    publish(
        Findings(
            name="figure2",
            title="Figure 2: dimension of the harmless space of first layers",
            setting=_setting(),
            tables=tables(convolved, connected, learned),
            pictures=(
                Picture(
                    file="figure2.svg",
                    caption="Harmless dimension against stride and width: n − rank(A) solid, the "
                    "paper's max(0, n − m) dashed. Curves that coincide lie inside each other.",
                ),
            ),
            notes=_notes(convolved, every),
            numbers={
                "convolutions": {name: _numbers(rows) for name, rows in convolved.items()},
                "perceptrons": {name: _numbers(rows) for name, rows in connected.items()},
                "after training": dict(zip(learned, _numbers(learned.values()), strict=True)),
            },
        ),
        options,
    )


def _setting() -> str:
    learned = "; ".join(
        f"{name}: {NETWORKS[name].words}" for name in ("resnet50-strided", "resnet50-dense")
    )
    return (
        "First convolutions as timm builds them (initial weights, seed 0) on 3×32×32 inputs, "
        "CIFAR-10's size, with only the stride varied; the first layer of a perceptron of five "
        "layers on 784 inputs (MNIST's size) and 3072 (SVHN's). Biases play no part. Trained "
        f"networks: {learned}."
    )


def _notes(
    convolved: Mapping[str, Sequence[Dimension]], every: Sequence[Dimension]
) -> tuple[str, ...]:
    pairs = [pair for rows in convolved.values() for pair in zip(STRIDES, rows, strict=True)]
    off = [(stride, row) for stride, row in pairs if row.harmless != row.formula]
    border = [stride for stride, row in off if all("border" in why for why in row.reasons)]
    outside = [row for row in every if all(row is not other for _, other in pairs)]
    fitting = sum(row.harmless == row.formula for row in outside)
    checked = [row for row in every if row.checked is not None]
    agreeing = sum(row.checked == row.rank for row in checked)
    return (
        "The paper's Figure 2 prints no numbers, so the comparison is with its formula. For the "
        f"perceptrons and the trained convolutions it is right in {fitting} of {len(outside)} "
        "cases.",
        f"Of {len(pairs)} convolutions the formula is too low for {len(off)}; too high it cannot "
        "be, because no rank exceeds m. Kernels of 3×3×3 weights are 27 numbers each, so no more "
        "than 27 of the 32 or 64 are independent, and where the stride exceeds the kernel some "
        "pixels lie in no window. Corollary 1 excludes both, yet the paper draws these networks "
        f"under it, at strides that its text does not give. In {len(border)} cases (strides "
        f"{_listed(border)}) its conditions hold and only padding stands in the way: "
        "windows at the border read zeros instead of pixels, and where fewer pixels are left than "
        "there are kernels, rows of A are dependent.",
        f"numpy's rank agrees in {agreeing} of the {len(checked)} cases in which it was asked.",
    )


def _listed(strides: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(set(strides)))) or "none"


def _numbers(rows: Iterable[Dimension]) -> list[dict[str, Any]]:
    return [{**asdict(row), "harmless": row.harmless, "formula": row.formula} for row in rows]


if __name__ == "__main__":
    main()
