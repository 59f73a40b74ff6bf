"""Turns what a network gave into one row of numbers for each input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel

__all__ = ["MAX_VALUES", "flat"]

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
