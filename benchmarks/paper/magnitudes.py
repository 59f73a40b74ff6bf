"""What does a perturbation do to a network's answers as it grows?

    test = test_images(options)
    rows = with_null_space("resnet50-strided", options, test)   # noise, harmless perturbations
    rows[1].rmse        # mean of ‖ŷ(x) − y(x)‖ / √m, size by size
    rows[1].accuracy

Sizes are root mean squares per pixel value, ε and its doublings; nothing is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.paper.experiment import Options
from benchmarks.paper.networks import Images, answers, trained
from benchmarks.report import progress
from fingerprint import Model
from fingerprint.operators import first_affine_segment
from fingerprint.solvers import linear_space
from fingerprint.spaces import LeastHarmful, least_harmful

__all__ = [
    "EPSILON",
    "HARMLESS",
    "LEAST",
    "NOISE",
    "SCALES",
    "SHORT",
    "Series",
    "measured",
    "scaled",
    "with_null_space",
    "without_null_space",
]

EPSILON = 8 / 255
SCALES = (1, 2, 4, 8, 16, 32)
NOISE, HARMLESS, LEAST = "Gaussian noise", "harmless perturbation", "least harmful perturbation"
SHORT = ", of length ε"
"""Marks perturbations whose L2 norm is the size, √n times less than a root mean square of it."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One kind of perturbation on one network, at every size.

    Attributes:
        network: Its name.
        kind: Of perturbation.
        precision: ``float64`` or ``float32``.
        natural: Accuracy on the images as they are.
        rmse: Mean over the test images, by size.
        largest: Largest over the test images, by size.
        accuracy: By size.
    """

    network: str
    kind: str
    precision: str
    natural: float
    rmse: tuple[float, ...]
    largest: tuple[float, ...]
    accuracy: tuple[float, ...]


def scaled(delta: Tensor) -> Tensor:
    """Scales each perturbation to a root mean square of 1 per value: ``(N, ...)`` -> the same."""
    sizes = delta.flatten(1).square().mean(dim=1).sqrt()
    return delta / sizes.view(-1, *[1] * (delta.ndim - 1))


def measured(model: Model, delta: Tensor, test: Images, *, network: str, kind: str) -> Series:
    """Adds a perturbation to the test images at every size and compares the answers.

    Args:
        model: Asked in its own precision.
        delta: One for each image, of root mean square 1, shape ``(N, C, H, W)``.
        test: The images.
        network: Name of the network.
        kind: Of perturbation.
    """
    natural = answers(model, test.pixels)
    rmse, largest, accuracy = [], [], []
    for number, scale in enumerate(SCALES):
        after = answers(model, test.pixels + scale * EPSILON * delta)
        errors = (after - natural).double().norm(dim=1) / natural.shape[1] ** 0.5
        rmse.append(float(errors.mean()))
        largest.append(float(errors.max()))
        accuracy.append(_accuracy(after, test.labels))
        progress(f"{kind} on {network}", number + 1, len(SCALES))
    return Series(
        network=network,
        kind=kind,
        precision=str(model.dtype).removeprefix("torch."),
        natural=_accuracy(natural, test.labels),
        rmse=tuple(rmse),
        largest=tuple(largest),
        accuracy=tuple(accuracy),
    )


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(dim=1) == labels).double().mean())


def with_null_space(name: str, options: Options, test: Images) -> list[Series]:
    """Compares noise with random members of the null space of a network's first layers."""
    model = trained(name, options)
    exact = model.to(dtype=torch.float64)
    space = linear_space(exact).space
    assert space is not None  # these networks are chosen for having one
    assert space.dimension
    noise, other = _noise(test, 0), _noise(test, 1)
    harmless = scaled(space.project(other))
    return [
        measured(exact, scaled(noise), test, network=name, kind=NOISE),
        measured(exact, harmless, test, network=name, kind=HARMLESS),
        measured(model, harmless, test, network=name, kind=HARMLESS),
        measured(exact, _short(harmless), test, network=name, kind=HARMLESS + SHORT),
    ]


def without_null_space(
    name: str, options: Options, test: Images
) -> tuple[list[Series], LeastHarmful, float]:
    """Compares noise with the direction that a network's first layers notice least.

    Returns:
        The series, the direction, and the response to noise of length 1 (root mean square),
        with which that to the direction is to be compared.
    """
    exact = trained(name, options).to(dtype=torch.float64)
    operator = first_affine_segment(exact, exact.input.shape).operator
    assert operator is not None  # these networks can be traced
    found = least_harmful(operator)
    noise = scaled(_noise(test, 0))
    response = operator.matvec(noise).flatten(1).norm(dim=1) / operator.n**0.5
    least = scaled(found.directions).expand_as(test.pixels)
    series = [
        measured(exact, noise, test, network=name, kind=NOISE),
        measured(exact, least, test, network=name, kind=LEAST),
        measured(exact, _short(least), test, network=name, kind=LEAST + SHORT),
    ]
    return series, found, float(response.square().mean().sqrt())


def _short(delta: Tensor) -> Tensor:
    """Takes perturbations of root mean square 1 to length 1."""
    short: Tensor = delta / delta[0].numel() ** 0.5
    return short


def _noise(test: Images, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(test.pixels.shape, generator=generator, dtype=torch.float64)
