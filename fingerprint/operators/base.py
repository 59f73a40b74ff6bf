"""Linear layers as linear operators: what every one of them must offer.

An operator is the linear part of a layer, the bias left out, seen as a map between inputs and
outputs of fixed shape (no batch dimension). Both products must be defined; a dense matrix
follows from them.

    operator = Convolution(weight, in_shape=(3, 32, 32), stride=2)
    operator.matvec(x)      # (..., 3, 32, 32) -> (..., C, H, W)
    operator.rmatvec(y)     # the transpose
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from fingerprint.errors import UsageError

__all__ = ["DENSE_LIMIT", "LinearOperator"]

DENSE_LIMIT = 2**28
"""Largest number of float64 entries a dense matrix may have (2 GiB)."""


class LinearOperator(ABC):
    """A linear map from tensors of shape ``in_shape`` to tensors of shape ``out_shape``.

    Subclasses must define :meth:`_forward` and :meth:`_transpose` on one batch dimension, and
    pass both shapes, dtype and device to ``__init__``.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.in_shape = tuple(in_shape)
        self.out_shape = tuple(out_shape)
        self.dtype = dtype
        self.device = torch.device(device)

    # ---- must define ----

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor:
        """Applies the map: ``(N, *in_shape)`` -> ``(N, ...)`` with the entries of outputs."""

    @abstractmethod
    def _transpose(self, y: Tensor) -> Tensor:
        """Applies the transpose: ``(N, *out_shape)`` -> ``(N, ...)`` with those of inputs."""

    # ---- worth overriding where structure makes it cheap ----

    @property
    def is_injective(self) -> bool:
        """Whether structure alone shows that the null space is trivial; False means unknown.

        ``N(A B) = N(B)`` for an injective ``A``, so a null space may drop such left factors.
        """
        return self.is_orthogonal

    @property
    def is_orthogonal(self) -> bool:
        """Whether the map only rearranges entries: square, transpose = inverse; else False."""
        return False

    # ---- follows ----

    def matvec(self, x: Tensor) -> Tensor:
        """Applies the map: ``(..., *in_shape)`` -> ``(..., *out_shape)``.

        Raises:
            UsageError: ``x`` does not end in ``in_shape``.
        """
        flat, batch = _one_batch(x, self.in_shape)
        return self._forward(flat).reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Applies the transpose: ``(..., *out_shape)`` -> ``(..., *in_shape)``.

        Raises:
            UsageError: ``y`` does not end in ``out_shape``.
        """
        flat, batch = _one_batch(y, self.out_shape)
        return self._transpose(flat).reshape(*batch, *self.in_shape)

    def to_dense(self) -> Tensor:
        """Returns the matrix of shape ``(m, n)``.

        Raises:
            UsageError: It would have more than ``DENSE_LIMIT`` entries.
        """
        if self.m * self.n > DENSE_LIMIT:
            raise UsageError(
                f"dense matrix: expected at most {DENSE_LIMIT} entries, "
                f"got {self.m} x {self.n}; use the matrix-free products"
            )
        eye = torch.eye(self.n, dtype=self.dtype, device=self.device)
        columns = self.matvec(eye.reshape(self.n, *self.in_shape))
        return columns.reshape(self.n, self.m).T.contiguous()

    @property
    def n(self) -> int:
        """Input dimension."""
        return math.prod(self.in_shape)

    @property
    def m(self) -> int:
        """Output dimension."""
        return math.prod(self.out_shape)

    @property
    def shape(self) -> tuple[int, int]:
        """``(m, n)``, as for the dense matrix."""
        return (self.m, self.n)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_shape} -> {self.out_shape})"


def _one_batch(x: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """Merges the leading batch dimensions, any number, into one; returns what they were."""
    split = x.ndim - len(shape)
    if split < 0 or tuple(x.shape[split:]) != shape:
        raise UsageError(
            f"operator input: expected shape (..., {', '.join(map(str, shape))}), "
            f"got {tuple(x.shape)}; reshape it first"
        )
    batch = tuple(x.shape[:split])
    return x.reshape(math.prod(batch), *shape), batch
