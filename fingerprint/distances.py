"""How far apart two answers are, for each kind of answer.

Logits: Euclidean after subtracting the mean over classes, because softmax is blind to it
(Lemma 1.3). Probabilities: the same on log-probabilities, floored at the answer's own
precision. Labels: 0 or 1.

Top-k: a row holds the probabilities of the classes it names and 0 elsewhere. Two rows are
compared on the classes that either of them names. One that a row does not name is at most as
probable as the least it names, and is taken to be just that::

    a: cat .7  dog .2             log .7  log .2  log .2
    b: cat .6          fox .3     log .6  log .3  log .3
                                  (cat)   (dog)   (fox)   then as log-probabilities

so the distance does not jump where the ranks k and k+1 change places. The price: rows that name
several classes, all alike, are at distance zero from each other whatever they name. Rows that
both name a single class would always be; they are compared as labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fingerprint.errors import UsageError

__all__ = [
    "answer_distance",
    "answer_size",
    "answered",
    "as_given",
    "comparable",
    "named",
    "precision",
    "top_k",
]

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
        labels are at distance 1, NaN where the answer is missing.

    Raises:
        UsageError: The kind is not known, or is ``top-k``, whose answers have no such space:
            which classes are compared depends on both.
    """
    values = np.asarray(answers, dtype=np.float64)
    if kind == "labels":
        best = values.argmax(axis=-1)
        onehot: Array = np.eye(values.shape[-1])[best] / np.sqrt(2.0)
        onehot[~np.isfinite(values).all(axis=-1)] = np.nan
        return onehot
    if kind == "probabilities":
        values = np.log(np.maximum(values, precision(values) if floor is None else floor))
    elif kind != "logits":
        raise UsageError(f"answer kind: expected logits, probabilities or labels, got {kind!r}")
    centred: Array = values - values.mean(axis=-1, keepdims=True)
    return centred


def as_given(
    given: NDArray[np.float32], recorded: NDArray[np.float32], kind: str, recorded_kind: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """Brings given and recorded answers to one kind.

    Where one side gives logits and the other probabilities, softmax brings them together. Where
    only the likeliest classes are named, the recorded answer is cut to as many.

    Args:
        given: Answers of shape ``(..., classes)``.
        recorded: Answers of the same shape.
        kind: What the given ones are.
        recorded_kind: What the recorded ones are.

    Returns:
        Both, and what they are now.
    """
    if kind == "labels" or kind == recorded_kind == "logits":
        return given, recorded, kind
    if recorded_kind == "logits":
        recorded = softmax(recorded, axis=-1)
    if kind == "top-k":
        return given, top_k(recorded, named(given).sum(axis=-1)), kind
    if kind == "logits":
        given = softmax(given, axis=-1)
    return given, recorded, "probabilities"


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
        kind: ``logits``, ``probabilities``, ``top-k`` or ``labels``.
        floor: Least probability; the precision of both together if omitted. Top-k answers
            need none.

    Returns:
        float64 distances of shape ``(...)``; NaN where an answer is missing.
    """
    if kind == "top-k":
        return _top_k_distance(first, second)
    if kind == "probabilities" and floor is None:
        floor = min(precision(first), precision(second))
    difference = comparable(first, kind, floor=floor) - comparable(second, kind, floor=floor)
    norm: Array = np.linalg.norm(difference, axis=-1)
    return norm


def answer_size(answers: NDArray[np.floating], kind: str, *, floor: float | None = None) -> Array:
    """Norm of answers of shape ``(..., classes)``: how far they are from favouring no class.

    For ``top-k`` it is taken over the classes that are named; one alone has size 0.
    """
    if kind == "top-k":
        values = np.asarray(answers, dtype=np.float64)
        return _spread(_filled_log(values), named(values))
    norm: Array = np.linalg.norm(comparable(answers, kind, floor=floor), axis=-1)
    return norm


def named(answers: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which classes top-k answers name: those of positive probability. Same shape."""
    return np.asarray(answers) > 0


def answered(answers: NDArray[np.floating], kind: str) -> NDArray[np.bool_]:
    """Which rows are answers: finite, and if they are top-k they name a class.

    Args:
        answers: Shape ``(..., classes)``.
        kind: What they are.

    Returns:
        Shape ``(...)``.
    """
    there: NDArray[np.bool_] = np.isfinite(answers).all(axis=-1)
    return there & named(answers).any(axis=-1) if kind == "top-k" else there


def top_k(answers: NDArray[Any], k: int | NDArray[np.integer]) -> NDArray[Any]:
    """Keeps the k largest values of each row and puts 0 in place of the others.

    Args:
        answers: Probabilities of shape ``(..., classes)``.
        k: How many to keep, for all rows or of shape ``(...)``.

    Returns:
        Array of the same shape and type. Of equal values the first classes are kept; a row
        that is not finite is NaN throughout.
    """
    order = np.argsort(-answers, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    kept = np.where(rank < np.asarray(k)[..., None], answers, 0)
    answered = np.isfinite(answers).all(axis=-1, keepdims=True)
    narrowed: NDArray[Any] = np.where(answered, kept, np.nan).astype(answers.dtype)
    return narrowed


def precision(values: NDArray[np.floating]) -> float:
    """The smallest positive step the answers were given with; half of it stands for zero."""
    positive = values[values > 0]
    if positive.size == 0:
        return 0.5
    return float(max(positive.min() / 2, np.finfo(np.float32).tiny))


def _top_k_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> Array:
    a, b = np.broadcast_arrays(
        np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    )
    either, both = named(a) | named(b), named(a) & named(b)
    apart = _spread(_filled_log(a) - _filled_log(b), either)
    # One class is centred away: what is left to compare is which one it is.
    single = (named(a).sum(axis=-1) == 1) & (named(b).sum(axis=-1) == 1)
    distance: Array = np.where(single & np.isfinite(apart), 1.0 - both.any(axis=-1), apart)
    return distance


def _filled_log(values: Array) -> Array:
    """Logarithms, those of unnamed classes being the row's least named one; NaN if none is."""
    there = named(values)
    least = np.where(there, values, np.inf).min(axis=-1, keepdims=True)
    answered = np.isfinite(values).all(axis=-1, keepdims=True) & np.isfinite(least)
    logs: Array = np.log(np.where(answered, np.where(there, values, least), np.nan))
    return logs


def _spread(values: Array, chosen: NDArray[np.bool_]) -> Array:
    """Norm over the chosen places of values centred there, over the last axis."""
    count = np.maximum(chosen.sum(axis=-1, keepdims=True), 1)
    mean = np.where(chosen, values, 0.0).sum(axis=-1, keepdims=True) / count
    spread: Array = np.sqrt((np.where(chosen, values - mean, 0.0) ** 2).sum(axis=-1))
    # A row without an answer names nothing, which is not the same as naming one class.
    return np.where(np.isnan(values).any(axis=-1), np.nan, spread)
