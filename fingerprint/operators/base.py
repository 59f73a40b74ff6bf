"""Linear layers as linear operators: what every one of them must offer.

An operator is the linear part of a layer, the bias left out, seen as a map between inputs and
outputs of fixed shape (no batch dimension). Three things must be defined; a dense matrix
follows from them, and structure-aware subclasses say more (see ``blocks`` in the patch
operator).

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

    Subclasses must define :meth:`matvec` and :meth:`rmatvec` and pass both shapes, dtype and
    device to ``__init__``. Both products accept any number of leading batch dimensions, none
    included.
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
    def matvec(self, x: Tensor) -> Tensor:
        """Applies the map: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""

    @abstractmethod
    def rmatvec(self, y: Tensor) -> Tensor:
        """Applies the transpose: ``(..., *out_shape)`` -> ``(..., *in_shape)``."""

    # ---- worth overriding where structure makes it cheap ----

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

    # ---- follows ----

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
