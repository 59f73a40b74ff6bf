"""Table 2: are images hidden by harmless perturbations hidden, and what comes back of them?

    python -m benchmarks.paper.table2 [--data DIR] [--work DIR] [--out DIR]

Images are hidden by the paper's Algorithm 1, by ours that keeps the range of
pixels, and by the whole-network solver, beside Gaussian noise N(0, 0.1²) as in the paper. Then
somebody who knows the weights and has public images tries to get them back, which the paper
calls "challenging" and does not measure. LPIPS, the paper's second measure, is a network whose
weights are only downloaded at use; HaarPSI stands in for it, 1 meaning equal like SSIM.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.data import load_data
from benchmarks.paper.experiment import Findings, Options, Table, publish, read_options
from benchmarks.paper.hiding import Attacked, Row, algorithm1, attacked, measured
from benchmarks.paper.imagenet import lite, photographs
from benchmarks.paper.networks import Images, test_images, trained
from benchmarks.pictures import drawing, show
from benchmarks.report import progress
from fingerprint.lab.training import one_thread
from fingerprint.network.run import to_inputs, to_tensor
from fingerprint.privacy import hide
from fingerprint.solvers import linear_space

__all__ = ["draw", "main", "tables"]

NETWORK = "resnet50-strided"
MEASURED = 64
"""Test images that are hidden."""

PUBLIC = 1000
"""Training images the attacker learns from."""

PHOTOGRAPHS = 20
SHOWN = 6
NOISE_DEVIATION = 0.1

NOISE = "Gaussian noise N(0, 0.1²)"
PRINTED = "linear, the paper's Algorithm 1"
DISTANCE = "linear, far from the image"
AIMED = "linear, blind to its harmless part"
ANSWER = "network"

PAPER = (
    ("the paper's harmless perturbation", "0.4719", "LPIPS 0.2031", "0.00 %"),
    ("the paper's Gaussian noise", "0.6825", "LPIPS 0.3007", "32.46 %"),
)


Column = tuple[str, Tensor]


def small_images(options: Options) -> tuple[list[Row], list[Attacked], list[Column]]:
    """Hides and attacks test images with a network that has a linear harmless space."""
    model = trained(NETWORK, options)
    exact_model = model.to(dtype=torch.float64)
    test = test_images(options).at(slice(MEASURED))
    public = load_data(options.data).train_images[:PUBLIC]
    mean = to_tensor(public, model.input, torch.float64).mean(dim=0)
    space = linear_space(exact_model).space
    assert space is not None  # this network is chosen for having one
    originals = to_inputs(test.pixels, model.input)

    def hidden(method: Literal["linear", "network"], aim: Literal["noise", "distance"]) -> Tensor:
        found = hide(model, originals, seed="table2", method=method, aim=aim, progress=progress)
        return torch.stack([torch.from_numpy(one.exact) for one in found])

    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(test.pixels.shape, generator=generator, dtype=torch.float64)
    ways: dict[str, Callable[[], Tensor]] = {
        NOISE: lambda: test.pixels + NOISE_DEVIATION * noise,
        PRINTED: lambda: algorithm1(space, test.pixels),
        DISTANCE: lambda: hidden("linear", "distance"),
        AIMED: lambda: hidden("linear", "noise"),
        ANSWER: lambda: hidden("network", "noise"),
    }
    rows: list[Row] = []
    attacks: list[Attacked] = []
    columns: list[Column] = [("original", test.pixels)]
    for way, make in ways.items():
        exact = make()
        rows.append(
            measured(
                model,
                exact_model,
                test,
                exact,
                network=NETWORK,
                way=way,
                space=space if way in (PRINTED, DISTANCE, AIMED) else None,
                mean=mean,
                harmless=way != NOISE,
            )
        )
        columns.append((way, exact))
        if way in (NOISE, PRINTED, DISTANCE):
            continue
        found, images = attacked(
            model,
            test,
            to_inputs(exact, model.input),
            public,
            network=NETWORK,
            way=way,
            method="network" if way == ANSWER else "linear",
        )
        attacks += found
        labels = [row.attack for row in found][: len(images)]
        columns += [(f"back by {label}", one) for label, one in zip(labels, images, strict=True)]
    return rows, attacks, columns


def large_images(options: Options) -> tuple[list[Row], list[Attacked], list[Column]]:
    """Does the same with EfficientNet-Lite0 at 224 pixels, by the network method; or nothing."""
    model = lite(0, options)
    photos = photographs(options, model, 10**6) if model is not None else None
    if model is None or photos is None:
        return [], [], []
    chosen = torch.arange(0, len(photos.labels), max(1, len(photos.labels) // PHOTOGRAPHS))
    chosen = chosen[:PHOTOGRAPHS]
    others = torch.ones(len(photos.labels), dtype=torch.bool)
    others[chosen] = False
    test = Images(pixels=photos.pixels[chosen], labels=photos.labels[chosen], name="photographs")
    found = hide(
        model,
        to_inputs(test.pixels, model.input),
        seed="table2",
        method="network",
        progress=progress,
    )
    exact = torch.stack([torch.from_numpy(one.exact) for one in found])
    name = "EfficientNet-Lite0"
    row = measured(model, model.to(dtype=torch.float64), test, exact, network=name, way=ANSWER)
    attacks, images = attacked(
        model,
        test,
        np.stack([one.image for one in found]),
        to_inputs(photos.pixels[others], model.input),
        network=name,
        way=ANSWER,
        method="network",
    )
    columns = [("original", test.pixels), (ANSWER, exact)]
    columns += [("back by regression", one) for one in images]
    return [row], attacks, columns


def tables(rows: Sequence[Row], attacks: Sequence[Attacked]) -> tuple[Table, ...]:
    """Writes Table 2 beside the paper's numbers, what hiding does to answers, and the attacks."""
    first = [(name, "CIFAR-10, ResNet-50", *rest) for name, *rest in PAPER]
    first += [
        (
            row.way,
            f"{row.network}, {row.images} images",
            f"{row.ssim:.4f}",
            f"HaarPSI {row.haarpsi:.4f}",
            f"{100 * (row.before - row.after):.2f} %",
        )
        for row in rows
    ]
    return (
        Table(
            caption="Table 2: similarity of what is sent to the original, and what it costs",
            headings=("way", "network", "SSIM ↓", "perceptual", "Δaccuracy ↓"),
            rows=tuple(map(tuple, first)),
        ),
        Table(
            caption="What hiding does to images and answers",
            headings=(
                "way",
                "network",
                "MSE",
                "SSIM with the negative",
                "correlation of harmless parts",
                "out of range by",
                "change of the answer, exact (median, worst)",
                "after rounding (median)",
                "labels kept",
            ),
            rows=tuple(map(_details, rows)),
        ),
        Table(
            caption="What comes back to somebody who knows the weights and has public images",
            headings=("hidden by", "network", "attack", "SSIM", "PSNR", "HaarPSI"),
            rows=tuple(
                (
                    row.way,
                    row.network,
                    row.attack,
                    f"{row.ssim:.3f}",
                    f"{row.psnr:.1f} dB",
                    f"{row.haarpsi:.3f}",
                )
                for row in attacks
            ),
        ),
    )


def _details(row: Row) -> tuple[str, ...]:
    exact = "-" if row.exact is None else f"{row.exact:.1e}, {row.exact_worst:.1e}"
    return (
        row.way,
        row.network,
        f"{row.mse:.4f}",
        f"{row.ssim_inverted:.3f}",
        "-" if row.follows is None else f"{row.follows:.2f}",
        f"{row.out_of_range:.2g}",
        exact,
        f"{row.rounded:.1e}",
        f"{row.labels:.1%}",
    )


def draw(columns: Sequence[Column], path: Path, *, shown: int = SHOWN, side: float = 0.95) -> None:
    """Draws one row for each way or attack, one column for each of the first images."""
    count = min(shown, len(columns[0][1]))
    height = side * len(columns)
    with drawing(path, width=2.1 + side * count, height=height, dpi=150) as figure:
        grid = figure.subplots(len(columns), count, squeeze=False)
        for (title, images), axes in zip(columns, grid, strict=True):
            for place, one in enumerate(axes):
                show(one, images[place])
                if place == 0:
                    one.set_ylabel(
                        textwrap.fill(title, 22), rotation=0, ha="right", va="center", fontsize=7
                    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, draws and publishes."""
    options = read_options(__doc__, arguments)
    with one_thread():
        rows, attacks, columns = small_images(options)
        draw(columns, options.out / "table2.png")
        # Kept already: the photographs take as long again, and may be interrupted.
        _publish(rows, attacks, options)
        large = large_images(options)
    if not large[2]:
        return
    draw(large[2], options.out / "table2-photographs.png", shown=4, side=1.5)
    _publish([*rows, *large[0]], [*attacks, *large[1]], options)


def _publish(rows: Sequence[Row], attacks: Sequence[Attacked], options: Options) -> None:
    publish(
        Findings(
            name="table2",
            tables=tables(rows, attacks),
            numbers={
                "rows": [asdict(row) for row in rows],
                "attacks": [asdict(row) for row in attacks],
            },
        ),
        options,
    )


if __name__ == "__main__":
    main()
