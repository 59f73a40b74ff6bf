"""Turns what a network gave into one row of numbers for each input.

What has another size for each input, such as a list of what was found in a picture, becomes how
many there are and the mean and the largest of each of their values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel

__all__ = ["MAX_VALUES", "flat", "pooled"]

MAX_VALUES = 2**17
"""Most values of one answer."""


def flat(values: NDArray[Any], count: int) -> NDArray[np.float32]:
    """Flattens answers to so many inputs: ``(N, ...)`` -> ``(N, values)``, float32.

    Raises:
        IncompatibleModel: They are no numbers, too many, or not one answer for each input.
    """
    if values.dtype.kind not in "fiu" or not values.size or values.size % count:
        raise IncompatibleModel(
            f"expected a row of numbers for each of {count} inputs, got {values.dtype} of shape "
            f"{'x'.join(map(str, values.shape)) or 'a scalar'}"
        )
    if count > 1 and values.shape[:1] != (count,):
        raise IncompatibleModel(
            f"expected {count} answers to {count} inputs, got {'x'.join(map(str, values.shape))}"
        )
    if values.size > count * MAX_VALUES:
        raise IncompatibleModel(
            f"expected at most {MAX_VALUES} values an answer, got {values.size // count}"
        )
    return np.ascontiguousarray(values.reshape(count, -1), np.float32)


def pooled(parts: Sequence[NDArray[Any]], count: int) -> NDArray[np.float32]:
    """Returns statistics of what was found in one input: ``(..., C)`` each -> ``(N, 1 + 2 C)``.

    They are how many there are of ``C`` values each, then the means of these, then the largest;
    zeros where nothing was found. Where the parts differ in ``C``, each value counts by itself.

    Args:
        parts: What was given, in one array or several.
        count: How many copies of the input were asked; each gets the same row.

    Raises:
        IncompatibleModel: They are no numbers, or too many.
    """
    kinds = "".join(part.dtype.kind for part in parts)
    if not set(kinds) <= set("fiu"):
        raise IncompatibleModel("expected lists of numbers, got something else")
    widths = {part.shape[-1] if part.ndim > 1 else 1 for part in parts}
    width = max(widths) if len(widths) == 1 else 1
    width = max(width, 1)  # lists of nothing
    if 1 + 2 * width > MAX_VALUES:
        raise IncompatibleModel(f"expected lists of at most {MAX_VALUES} values, got {width}")
    found = np.concatenate([np.empty(0, np.float32), *(part.reshape(-1) for part in parts)])
    rows = found.astype(np.float64).reshape(-1, width)
    statistics = (rows.mean(axis=0), rows.max(axis=0)) if len(rows) else np.zeros((2, width))
    row = np.concatenate([[len(rows)], *statistics])
    return np.repeat(row[None], count, axis=0).astype(np.float32)
