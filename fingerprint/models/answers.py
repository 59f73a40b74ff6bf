"""How far apart two answers are, for each kind of answer.

Logits: Euclidean after subtracting the mean over classes, because softmax is blind to it
(Lemma 1.3). Probabilities: the same on log-probabilities, floored at the answer's own
precision. Labels: 0 or 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import UsageError

__all__ = ["answer_distance", "answer_size", "comparable", "precision"]

Array = NDArray[np.float64]


def comparable(answers: NDArray[np.floating], kind: str, *, floor: float | None = None) -> Array:
    """Maps answers to the space where their distance is Euclidean.

    Args:
        answers: Shape ``(..., classes)``.
        kind: ``logits``, ``probabilities`` or ``labels``.
        floor: Least probability; half the smallest positive one given if omitted. Answers
            that are compared need one floor.

    Returns:
        float64 array of the same shape; for labels a one-hot row scaled so that two different
        labels are at distance 1.

    Raises:
        UsageError: The kind is not known.
    """
    values = np.asarray(answers, dtype=np.float64)
    if kind == "labels":
        best = values.argmax(axis=-1)
        onehot: Array = np.eye(values.shape[-1])[best] / np.sqrt(2.0)
        return onehot
    if kind == "probabilities":
        values = np.log(np.maximum(values, precision(values) if floor is None else floor))
    elif kind != "logits":
        raise UsageError(f"answer kind: expected logits, probabilities or labels, got {kind!r}")
    centred: Array = values - values.mean(axis=-1, keepdims=True)
    return centred


def answer_distance(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    kind: str,
    *,
    floor: float | None = None,
) -> Array:
    """Distance between answers, over the last axis; shapes broadcast.

    Args:
        first: Answers of shape ``(..., classes)``.
        second: Answers of a shape that broadcasts with ``first``.
        kind: ``logits``, ``probabilities`` or ``labels``.
        floor: Least probability; the precision of both together if omitted.

    Returns:
        float64 distances of shape ``(...)``.
    """
    if kind == "probabilities" and floor is None:
        floor = min(precision(first), precision(second))
    difference = comparable(first, kind, floor=floor) - comparable(second, kind, floor=floor)
    norm: Array = np.linalg.norm(difference, axis=-1)
    return norm


def answer_size(answers: NDArray[np.floating], kind: str) -> Array:
    """Norm of answers of shape ``(..., classes)`` in the space where they are compared."""
    norm: Array = np.linalg.norm(comparable(answers, kind), axis=-1)
    return norm


def precision(values: NDArray[np.floating]) -> float:
    """The smallest positive step the answers were given with; half of it stands for zero."""
    positive = values[values > 0]
    if positive.size == 0:
        return 0.5
    return float(max(positive.min() / 2, np.finfo(np.float32).tiny))
