"""Linear algebra of units: rows that are balanced, likened, assigned and turned.

Nothing here knows a network. Weights have the shape ``(units, channels, taps)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd
from scipy.optimize import linear_sum_assignment

__all__ = ["Units", "assigned", "balanced", "likeness", "turned", "unit_rows"]

Weights = NDArray[np.float32]
Units = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Places of paired units: the i-th of the first stands for the i-th of the second."""

_ROUNDS = 4
_FLOOR = 0.05


def balanced(weight: Weights, rounds: int = _ROUNDS) -> Weights:
    """Scales units and channels until all are about equally long, which undoes any rescaling.

    Channels and units far below the usual length are not lifted above their noise.

    Args:
        weight: Of a layer; left alone.
        rounds: How often rows and channels are scaled in turn.
    """
    energy = np.einsum("ijk,ijk->ij", weight, weight, dtype=np.float64)
    rows, columns = np.ones(len(energy)), np.ones(energy.shape[1])
    for _ in range(rounds):
        rows = _inverse(energy @ columns**2)
        columns = _inverse(rows**2 @ energy)
    factors = rows[:, None] * columns
    scaled: Weights = (weight * factors[:, :, None]).astype(np.float32)
    return scaled


def _inverse(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.sqrt(squares)
    floor = max(_FLOOR * float(np.median(lengths)), float(np.finfo(np.float32).tiny))
    inverse: NDArray[np.float64] = 1 / np.maximum(lengths, floor)
    return inverse


def unit_rows(rows: Weights) -> Weights:
    """Returns rows of length one; those of zeros stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Weights = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit


def likeness(ours: Weights, theirs: Weights) -> Weights:
    """Returns the cosine of every row of one with every row of the other: ``(m, n)``."""
    product: Weights = unit_rows(ours) @ unit_rows(theirs).T
    return product


def assigned(gain: Weights) -> Units:
    """Pairs rows with columns, each at most once, for the greatest sum."""
    ours, theirs = linear_sum_assignment(gain, maximize=True)
    return ours.astype(np.int64), theirs.astype(np.int64)


def turned(product: NDArray[np.float64]) -> Weights:
    """Returns the orthogonal Q nearest to a sum of ``theirs @ ours.T`` (Procrustes)."""
    left, _, right = svd(product, full_matrices=False, lapack_driver="gesvd")
    rotation: Weights = (left @ right).astype(np.float32)
    return rotation
