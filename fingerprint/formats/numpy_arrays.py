"""NumPy arrays inside a checkpoint, rebuilt from their bytes without NumPy's own unpickling.

The three names with which NumPy pickles an array are replaced by the classes here. They keep
the element type, the shape and the bytes, and nothing else; an array of objects keeps nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["ArrayBytes", "ElementType", "Rebuild"]

_CODES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
_MAX_DIMENSIONS = 16


class ElementType:
    """Stands in for ``numpy.dtype``: a code such as ``f4`` and a byte order."""

    def __init__(self, code: Any = "", *args: Any) -> None:
        del args
        self.code = code if isinstance(code, str) else ""
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        """Keeps the byte order."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = state[1]


class ArrayBytes:
    """Stands in for ``numpy.ndarray``: its element type, shape and bytes."""

    def __new__(cls, *args: Any) -> ArrayBytes:
        """Ignores the arguments, which describe an empty array."""
        del args
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        del args
        self.tensor: Tensor | None = None

    def __setstate__(self, state: Any) -> None:
        """Reads ``(version, shape, element type, is Fortran order, bytes)``."""
        if not isinstance(state, tuple) or len(state) != 5:
            return
        _, shape, kind, by_columns, data = state
        if isinstance(kind, ElementType) and isinstance(data, bytes) and kind.code in _CODES:
            self.tensor = _tensor(kind, shape, data, "F" if by_columns else "C")


class Rebuild:
    """Stands in for NumPy's function that makes an empty array to be filled."""

    def __new__(cls, *args: Any) -> ArrayBytes:  # type: ignore[misc]
        """Ignores the arguments."""
        return ArrayBytes(*args)


def _tensor(kind: ElementType, shape: Any, data: bytes, order: Any) -> Tensor | None:
    """Returns the values, or None where the bytes do not fill the shape."""
    sizes = isinstance(shape, tuple) and len(shape) <= _MAX_DIMENSIONS
    if not sizes or not all(type(size) is int and size >= 0 for size in shape):
        return None
    order_and_code = f"{kind.order}{kind.code}"
    element = np.dtype(order_and_code)
    if math.prod(shape) * element.itemsize != len(data):
        return None
    values = np.frombuffer(data, dtype=element).reshape(shape, order=order)
    native = np.array(values, dtype=element.newbyteorder("="), order="C")
    return torch.from_numpy(native)
