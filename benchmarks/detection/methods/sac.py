"""SAC: how a network's answers to different images correlate with each other.

Guan, Liang and He, "Are You Stealing My Model? Sample Correlation for Fingerprinting Deep
Neural Networks", NeurIPS 2022. The answers to ``b`` samples give a ``(b, b)`` matrix of
correlations; the distance of two networks is the mean absolute difference of their matrices.
The matrix does not depend on what the classes are or how many, so other label spaces can be
compared too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.detection.methods.base import LabelledImages, QueryMethod, correctly_named

__all__ = ["Sac", "correlation_matrix"]


class Sac(QueryMethod):
    """SAC-m: correlations on CutMix images of correctly classified training images.

    SAC-m and not SAC-w (misclassified samples), because SAC-w needs surrogate thieves to
    select its samples, and more mistakes than a good network makes; AKH covers those.
    """

    name = "SAC"

    def choose(
        self, network: nn.Module, data: LabelledImages, count: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], str]:
        """Returns pairs of correctly classified images of different classes, cut together."""
        right = np.flatnonzero(correctly_named(network, data.train_images, data.train_labels))
        labels = data.train_labels[right]
        mixed = []
        for _ in range(count):
            one = generator.integers(len(right))
            other = generator.choice(np.flatnonzero(labels != labels[one]))
            images = data.train_images[right[[one, other]]]
            mixed.append(_cut_mix(images[0], images[1], generator))
        return np.stack(mixed), ""

    def compare(self, source: Tensor, suspect: Tensor) -> float | None:
        """Returns minus the mean absolute difference of the correlation matrices."""
        difference = correlation_matrix(source) - correlation_matrix(suspect)
        return -float(difference.abs().mean())


def correlation_matrix(logits: Tensor) -> Tensor:
    """Returns the cosines between the centred softmax outputs of every two samples.

    Each sample's output is centred over the classes (Pearson's correlation), so that unrelated
    answers have no correlation on average, whatever the number of classes.

    Args:
        logits: Shape ``(b, classes)``.

    Returns:
        float64, shape ``(b, b)``.
    """
    outputs = logits.double().softmax(dim=1)
    rows = functional.normalize(outputs - outputs.mean(dim=1, keepdim=True), dim=1)
    return rows @ rows.T


def _cut_mix(
    image: NDArray[np.uint8], patch: NDArray[np.uint8], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Pastes a box of ``patch`` into ``image``, both ``(C, H, W)``, as CutMix with alpha 1."""
    _, height, width = image.shape
    side = np.sqrt(1 - generator.beta(1.0, 1.0))
    y, x = generator.integers(height), generator.integers(width)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    rows = slice(max(y - half_height, 0), y + half_height)
    columns = slice(max(x - half_width, 0), x + half_width)
    mixed = image.copy()
    mixed[:, rows, columns] = patch[:, rows, columns]
    return mixed
