"""Averages and interpolation: a small matrix along each axis.

Every average over windows, adaptive or not, padded or not, is separable, and so is every usual
interpolation: its matrix is the Kronecker product of one small matrix for each axis.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator

__all__ = ["Pooling"]


class Pooling(LinearOperator):
    """One matrix along each of the last axes, the leading ones left alone.

    Attributes:
        factors: One matrix ``(o_i, n_i)`` for each of the last axes; they set dtype and device.
    """

    def __init__(self, factors: Sequence[Tensor], in_shape: tuple[int, ...]) -> None:
        """Takes the matrices and the shape of one input, such as ``(C, *sizes)``.

        Raises:
            UsageError: There is no matrix, or one does not fit its axis.
        """
        sizes = tuple(in_shape[len(in_shape) - len(factors) :])
        fits = 0 < len(factors) <= len(in_shape) and all(
            factor.ndim == 2 and factor.shape[1] == size and factor.shape[0] > 0
            for factor, size in zip(factors, sizes, strict=True)
        )
        if not fits:
            shapes = [tuple(factor.shape) for factor in factors]
            raise UsageError(f"pooling: expected a matrix per axis of {sizes}, got shapes {shapes}")
        lead = tuple(in_shape[: len(in_shape) - len(factors)])
        super().__init__(
            in_shape,
            (*lead, *(factor.shape[0] for factor in factors)),
            dtype=factors[0].dtype,
            device=factors[0].device,
        )
        self.factors = tuple(factor.detach() for factor in factors)

    def _forward(self, x: Tensor) -> Tensor:
        return self._along_axes(x, self.factors)

    def _transpose(self, y: Tensor) -> Tensor:
        return self._along_axes(y, [factor.T for factor in self.factors])

    @staticmethod
    def _along_axes(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        for place, matrix in enumerate(reversed(matrices), start=1):
            x = (x.movedim(-place, -1) @ matrix.T).movedim(-1, -place)
        return x
