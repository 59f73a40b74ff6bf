"""What a harmless space must be able to do, and the kinds that need no structure.

    space = null_space(operator)
    harmless = space.project(noise)        # (..., *in_shape)
    harmful = space.complement(noise)      # noise == harmless + harmful, orthogonal

A perturbation splits in exactly one way into a part inside a subspace and a part orthogonal to
it (Theorem 4 of the paper), so :meth:`Subspace.project` is all that a kind of subspace has to
define. There are no bases: a 3 x 224 x 224 input has 150528 dimensions, and a basis of its
harmless space would take 10² GB.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.spaces.rank import membership_tolerance

__all__ = [
    "CoordinateSubspace",
    "Subspace",
    "TrivialSubspace",
    "WholeSpace",
]


class Subspace(ABC):
    """A linear subspace of the inputs of an operator.

    Subclasses must define :meth:`_project`. Checks, conversions and reshaping happen once, in the
    public methods.

    Attributes:
        in_shape: Shape of one vector, such as ``(3, 224, 224)``.
        dimension: Its dimension; None when it was not determined.
        note: Why the dimension is unknown, or how it was found; one line.
        dtype: What projections are computed and returned in.
        device: Where they are computed.
        accuracy: Relative error of a projection, as far as known.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        dimension: int | None,
        *,
        note: str = "",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        accuracy: float = 0.0,
    ) -> None:
        self.in_shape = tuple(in_shape)
        self.dimension = dimension
        self.note = note
        self.dtype = dtype
        self.device = torch.device(device)
        self.accuracy = accuracy

    # ---- must define ----

    @abstractmethod
    def _project(self, rows: Tensor) -> Tensor:
        """Projects each row orthogonally: ``(B, n)`` -> ``(B, n)``."""

    # ---- worth overriding ----

    def rough(self) -> Subspace:
        """Returns the same space with cheaper, rougher projections where that makes sense."""
        return self

    # ---- follows ----

    @property
    def n(self) -> int:
        """Dimension of the space around it."""
        return math.prod(self.in_shape)

    @property
    def rank(self) -> int | None:
        """Codimension, the rank of an operator whose null space this is; None if unknown."""
        return None if self.dimension is None else self.n - self.dimension

    def project(self, x: Tensor) -> Tensor:
        """Returns the orthogonal projection of ``x`` onto the subspace.

        Args:
            x: Shape ``(..., *in_shape)``, any floating dtype, finite.

        Returns:
            The part inside the subspace, same shape, in the dtype of the subspace.

        Raises:
            UsageError: ``x`` has another shape or is not finite.
        """
        return self._project(self._rows(x)).reshape(x.shape)

    def complement(self, x: Tensor) -> Tensor:
        """Returns the part of ``x`` orthogonal to the subspace; see :meth:`project`."""
        rows = self._rows(x)
        return (rows - self._project(rows)).reshape(x.shape)

    def contains(self, x: Tensor) -> Tensor:
        """Says for each vector whether it lies in the subspace.

        Args:
            x: Shape ``(..., *in_shape)``.

        Returns:
            Booleans of shape ``(...)``: whether the part outside is what rounding in the dtype of
            ``x`` explains. The zero vector lies in every subspace.

        Raises:
            UsageError: ``x`` has another shape or is not finite.
        """
        rtol = max(membership_tolerance(self.n, x.dtype, self.dtype), self.accuracy)
        rows = self._rows(x)
        outside = (rows - self._project(rows)).norm(dim=-1)
        inside: Tensor = outside <= rtol * rows.norm(dim=-1)
        return inside.reshape(x.shape[: x.ndim - len(self.in_shape)])

    def _rows(self, x: Tensor) -> Tensor:
        """Checks a batch of vectors and flattens it to ``(B, n)``."""
        tail = tuple(x.shape[x.ndim - len(self.in_shape) :]) if x.ndim >= len(self.in_shape) else ()
        if tail != self.in_shape:
            raise UsageError(
                f"vectors of a subspace: expected shape (..., {str(self.in_shape)[1:-1]}), "
                f"got {tuple(x.shape)}; reshape the input"
            )
        rows = x.to(device=self.device, dtype=self.dtype).reshape(-1, self.n)
        if not bool(torch.isfinite(rows).all()):
            raise UsageError("vectors of a subspace: expected finite numbers, got NaN or infinity")
        return rows

    def __repr__(self) -> str:
        size = "?" if self.dimension is None else str(self.dimension)
        return f"{type(self).__name__}({size} of {self.n})"


class CoordinateSubspace(Subspace):
    """Some entries free, all others zero: what an otherwise injective layer never reads.

    Attributes:
        free: Booleans of shape ``(n,)``.
    """

    def __init__(self, free: Tensor, in_shape: tuple[int, ...], *, note: str = "") -> None:
        super().__init__(in_shape, int(free.sum()), note=note, device=free.device)
        self.free = free

    def _project(self, rows: Tensor) -> Tensor:
        return rows * self.free


class TrivialSubspace(CoordinateSubspace):
    """Only the zero vector: nothing is harmless."""

    def __init__(
        self, in_shape: tuple[int, ...], *, note: str = "", device: torch.device | str = "cpu"
    ) -> None:
        free = torch.zeros(math.prod(in_shape), dtype=torch.bool, device=device)
        super().__init__(free, in_shape, note=note)


class WholeSpace(CoordinateSubspace):
    """Every vector: the null space of a zero operator, or of one without outputs."""

    def __init__(
        self, in_shape: tuple[int, ...], *, note: str = "", device: torch.device | str = "cpu"
    ) -> None:
        free = torch.ones(math.prod(in_shape), dtype=torch.bool, device=device)
        super().__init__(free, in_shape, note=note)
