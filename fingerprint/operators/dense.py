"""A fully connected layer: an explicit matrix between inputs and outputs of any shape.

A linear layer on the last dimension of tokens ``(T, features)`` is this matrix repeated:
``Repeated(Dense(weight), (T,))``.
"""

from __future__ import annotations

import math

from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator

__all__ = ["Dense"]


class Dense(LinearOperator):
    """A matrix applied to the flattened input.

    Attributes:
        matrix: Shape ``(m, n)``; sets dtype and device.
    """

    def __init__(
        self,
        matrix: Tensor,
        in_shape: tuple[int, ...] | None = None,
        out_shape: tuple[int, ...] | None = None,
    ) -> None:
        """Takes a matrix and how its rows and columns are arranged.

        Args:
            matrix: Shape ``(m, n)``, floating point.
            in_shape: Shape with ``n`` entries; ``(n,)`` if omitted.
            out_shape: Shape with ``m`` entries; ``(m,)`` if omitted.

        Raises:
            UsageError: The matrix is not two-dimensional, or a shape does not fit it.
        """
        if matrix.ndim != 2 or not matrix.is_floating_point():
            raise UsageError(
                f"matrix: expected two dimensions of floating-point numbers, "
                f"got {tuple(matrix.shape)} of {matrix.dtype}"
            )
        m, n = matrix.shape
        in_shape = (n,) if in_shape is None else tuple(in_shape)
        out_shape = (m,) if out_shape is None else tuple(out_shape)
        for name, shape, size in (("input", in_shape, n), ("output", out_shape, m)):
            if math.prod(shape) != size:
                raise UsageError(f"{name} shape: expected {size} entries in all, got {shape}")
        super().__init__(in_shape, out_shape, dtype=matrix.dtype, device=matrix.device)
        self.matrix = matrix.detach()

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T

    def _transpose(self, y: Tensor) -> Tensor:
        return y.flatten(1) @ self.matrix

    def to_dense(self) -> Tensor:
        """Returns the matrix itself, shape ``(m, n)``."""
        return self.matrix
