"""Lemma 1: how much more of an input becomes harmless with every layer of a network?

    python -m benchmarks.paper.depth [--out DIR]

The lemma says that what l layers do not notice, l + 1 layers do not notice either: P⁽ˡ⁾ ⊆ P⁽ˡ⁺¹⁾.
Here it is watched on networks that are trained: at a test image x the harmless directions of the
first l layers are the kernel of their Jacobian J at x, of dimension n − rank(J). The networks
have ReLU and are affine around x, so a step into that kernel is harmless exactly, as far as no
ReLU changes sides; how far that is, is measured too. Digits, whatever ``--data`` says: a
Jacobian of a colour image takes gigabytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.paper.experiment import Findings, Table, publish, read_options
from benchmarks.pictures import COLOURS, drawing
from benchmarks.report import progress
from fingerprint.lab import networks, training
from fingerprint.lab.data import Data, digits
from fingerprint.theory import depth as perturbations

__all__ = ["Growth", "draw", "growth", "main", "reach", "steps", "tables"]

IMAGES = 12
DIRECTIONS = 5
UNCHANGED = 1e-9
"""Largest change of a logit that counts as none when a step is tried."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Harmless directions after each layer, image by image.

    Attributes:
        layers: Names, in the order of computation.
        outputs: Of each layer.
        dimensions: By layer, by image: ``n - rank(J)``.
        leaks: By layer: how much of the harmless directions before it the layer notices,
            ``max ‖J v‖ / ‖J‖``, J being the Jacobian up to it and v of an orthonormal basis of
            the kernel before it, worst image.
        agreeing: By layer, by image: whether numpy's rank of a Jacobian that torch composes on
            its own says the same.
        reaches: Root mean squares per pixel up to which random steps into the last kernel
            changed no logit.
        accuracy: On the test images.
    """

    layers: tuple[str, ...]
    outputs: tuple[int, ...]
    dimensions: tuple[tuple[int, ...], ...]
    leaks: tuple[float, ...]
    agreeing: tuple[tuple[bool, ...], ...]
    reaches: tuple[float, ...]
    accuracy: float


def steps(network: networks.Cnn | networks.Mlp) -> list[tuple[str, nn.Module]]:
    """Takes a network of the lab apart into layers that follow one another."""
    if isinstance(network, networks.Mlp):
        named = [(type(layer).__name__, layer) for layer in network.layers]
    else:
        named = []
        for convolution, norm in network.layers():
            named += [("Conv2d", convolution), ("BatchNorm2d", norm), ("ReLU", network.relu)]
        named += [("AvgPool2d", network.pool), ("Flatten", nn.Flatten()), ("Linear", network.head)]
    return [(f"{number} {kind}", layer) for number, (kind, layer) in enumerate(named, start=1)]


def growth(network: networks.Cnn | networks.Mlp, data: Data) -> Growth:
    """Computes the harmless directions of every image after every layer.

    Args:
        network: Trained, in evaluation mode; looked at in float64.
        data: The first test images are used.
    """
    accuracy = training.accuracy(network, data)
    exact = network.double()
    layers = steps(exact)
    images = torch.from_numpy(data.test_images[:IMAGES]).double() / 255
    columns, checks, leaks, reaches = [], [], [0.0] * len(layers), []
    outputs: list[int] = []
    for number, image in enumerate(images):
        modules = [layer for _, layer in layers]
        dimensions = perturbations.growth(modules, image[None])
        followed = _followed(modules, image, dimensions)
        columns.append(dimensions)
        checks.append(followed.agreeing)
        outputs = followed.outputs
        leaks = list(map(max, leaks, followed.leaks))
        reaches += reach(exact, image, followed.kernel, seed=number)
        progress("harmless directions", number + 1, len(images))
    return Growth(
        layers=tuple(name for name, _ in layers),
        outputs=tuple(outputs),
        dimensions=tuple(zip(*columns, strict=True)),
        leaks=tuple(leaks),
        agreeing=tuple(zip(*checks, strict=True)),
        reaches=tuple(reaches),
        accuracy=accuracy,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Followed:
    """One image, layer by layer, and the last kernel, orthonormal rows ``(d, n)``."""

    outputs: list[int]
    leaks: list[float]
    agreeing: list[bool]
    kernel: Tensor


def _followed(layers: Sequence[nn.Module], image: Tensor, dimensions: Sequence[int]) -> _Followed:
    """Composes the Jacobian of one image ``(C, H, W)`` layer by layer and looks at its kernels."""
    n = image.numel()
    value, jacobian = image[None], torch.eye(n, dtype=torch.float64)
    kernel = torch.empty(0, n, dtype=torch.float64)
    outputs, leaks, agreeing = [], [], []
    for layer, dimension in zip(layers, dimensions, strict=True):
        # Row i of the transposed Jacobian is what becomes of a step along input i.
        value, moved = _pushed(layer, value, jacobian.reshape(n, *value.shape[1:]))
        jacobian = moved.reshape(n, -1)
        narrow = jacobian.shape[1] < n  # only then is the reduced left side not all of it
        left, values, _ = torch.linalg.svd(jacobian, full_matrices=narrow)
        noticed = (kernel @ jacobian).norm(dim=1)
        largest = float(noticed.max()) if len(noticed) else 0.0
        leaks.append(largest / float(values[0]) if largest else 0.0)
        outputs.append(jacobian.shape[1])
        agreeing.append(int(np.linalg.matrix_rank(jacobian.numpy())) == n - dimension)
        kernel = left[:, n - dimension :].T
    return _Followed(outputs=outputs, leaks=leaks, agreeing=agreeing, kernel=kernel)


def _pushed(layer: nn.Module, value: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """Pushes directions through a layer at a value: ``(n, ...)`` -> ``(n, ...)``."""

    def along(tangent: Tensor) -> Tensor:
        moved: Tensor = torch.func.jvp(layer, (value,), (tangent[None],))[1]
        return moved

    with torch.no_grad():
        return layer(value), torch.func.vmap(along)(tangents)


def reach(network: nn.Module, image: Tensor, kernel: Tensor, *, seed: int) -> list[float]:
    """Finds how far random steps into a kernel stay harmless, by doubling them.

    Args:
        network: In float64.
        image: Shape ``(C, H, W)``.
        kernel: Orthonormal rows, shape ``(d, n)``.
        seed: Decides the steps.

    Returns:
        Root mean square per pixel of the largest step without effect, one for each direction.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(DIRECTIONS, len(kernel), generator=generator, dtype=torch.float64)
    directions = (weights @ kernel).reshape(DIRECTIONS, *image.shape)
    directions /= directions.flatten(1).square().mean(dim=1).sqrt().view(-1, 1, 1, 1)
    sizes = 2.0 ** torch.arange(-24, 3, dtype=torch.float64)
    found = []
    with torch.no_grad():
        natural = network(image[None])
        for direction in directions:
            moved = network(image + sizes.view(-1, 1, 1, 1) * direction)
            noticed = (moved - natural).abs().amax(dim=1) > UNCHANGED
            first = int(noticed.nonzero()[0]) if bool(noticed.any()) else len(sizes)
            found.append(float(sizes[first - 1]) if first else 0.0)
    return found


def tables(found: dict[str, Growth]) -> tuple[Table, ...]:
    """Writes one table for each network."""
    return tuple(
        Table(
            caption=f"{name}: harmless directions after each layer, "
            f"{len(one.dimensions[0])} test images",
            headings=("layer", "outputs", "fewest", "median", "most", "noticed of those before"),
            rows=tuple(
                (layer, str(size), str(min(row)), f"{median(row):g}", str(max(row)), f"{leak:.0e}")
                for layer, size, row, leak in zip(
                    one.layers, one.outputs, one.dimensions, one.leaks, strict=True
                )
            ),
        )
        for name, one in found.items()
    )


def draw(found: dict[str, Growth], path: Path) -> None:
    """Draws the dimension against the layer: an image a line, the median bold."""
    with drawing(path, width=8.2, height=4.0) as figure:
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for axes, (name, one) in zip(panels, found.items(), strict=True):
            places = range(len(one.layers))
            for image in zip(*one.dimensions, strict=True):
                axes.plot(places, image, color=COLOURS[5], linewidth=0.8, alpha=0.7)
            middle = [median(row) for row in one.dimensions]
            axes.plot(places, middle, color=COLOURS[0], marker="o", markersize=3.5)
            axes.set_xticks(places, one.layers, rotation=90, fontsize=7)
            axes.set_title(name)
            axes.set_ylim(-6, 262)
            axes.grid()
        panels[0].set_ylabel("harmless directions (of 256)")


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, measures, draws and publishes."""
    options = read_options(__doc__, arguments)
    data = digits()
    with training.one_thread():
        found = {
            "convolutional network": growth(training.trained(networks.cnn, data, seed=0), data),
            "perceptron": growth(training.trained(networks.mlp, data, seed=0), data),
        }
    draw(found, options.out / "depth.svg")
    publish(
        Findings(
            name="depth",
            tables=tables(found),
            numbers={name: asdict(one) for name, one in found.items()},
        ),
        options,
    )


if __name__ == "__main__":
    main()
