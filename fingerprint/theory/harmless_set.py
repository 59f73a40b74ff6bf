"""What one layer does not notice at the features it is given (Definition 2).

A linear layer's set is a subspace and the same for all features. A nonlinear one depends on the
features z, need not be convex, and may be unbounded. Membership is decided by the closed form
of the lemma, never by running the layer, and nothing here loops over entries.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from fingerprint.errors import UsageError

__all__ = ["HarmlessSet"]


class HarmlessSet(ABC):
    """``H = {δ : f(z + δ) = f(z)}`` of one layer f at features z, batch dimension included.

    Attributes:
        z: The features, any shape; their dtype is the working precision.
        note: What to know of the set, one line; empty where there is nothing.
    """

    def __init__(self, z: Tensor, *, note: str = "") -> None:
        """Takes the features.

        Raises:
            UsageError: They are not floating-point numbers, or not finite.
        """
        if not z.is_floating_point():
            raise UsageError(f"harmless set: expected floating-point features, got {z.dtype}")
        if not bool(torch.isfinite(z).all()):
            raise UsageError("harmless set: expected finite features, got NaN or infinity")
        self.z = z.detach()
        self.note = note

    # ---- must define ----

    @property
    @abstractmethod
    def dimension(self) -> int | None:
        """Local dimension of the set at 0; None where it was not computed, see ``note``."""

    @abstractmethod
    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds ``(low, high)`` of δ, each of the shape of z.

        Every δ with ``low <= δ <= high`` belongs to the set, and ``low <= 0 <= high``; bounds
        may be infinite.
        """

    @abstractmethod
    def holds(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        """Decides each of ``(B, *shape)``, in the precision of δ and z; returns ``(B,)``.

        Args:
            delta: Perturbations.
            slack: By how much a condition may be missed, ``(B, 1, ..., 1)``; None takes it
                literally where the lemma needs no arithmetic but ``z + δ``, and to rounding
                error elsewhere.
        """

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator, size: float) -> Tensor:
        """Draws ``(count, *shape)``."""

    # ---- follows ----

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the features and of one δ."""
        return tuple(self.z.shape)

    @property
    def n(self) -> int:
        """Entries of the features."""
        return self.z.numel()

    @property
    def free(self) -> int:
        """How many coordinates can move on their own, all others held."""
        low, high = self.piece()
        return int((high > low).sum())

    @property
    def is_whole(self) -> bool:
        """Whether this is all that the layer does not notice."""
        return True

    def seen(self, delta: Tensor) -> Tensor:
        """Maps ``(B, *shape)`` linearly to what is 0 exactly for the δ near 0 that belong."""
        low, high = self.piece()
        return delta * ((low == 0) & (high == 0))

    def contains(self, delta: Tensor) -> Tensor:
        """Says for each δ whether the layer, in exact arithmetic, does not notice it.

        Args:
            delta: Shape ``(..., *shape)``, finite.

        Returns:
            Booleans of shape ``(...)``.

        Raises:
            UsageError: ``delta`` has another shape or is not finite.
        """
        split = delta.ndim - self.z.ndim
        if split < 0 or tuple(delta.shape[split:]) != self.shape:
            raise UsageError(
                f"harmless set: expected δ of shape (..., {str(self.shape)[1:-1]}), "
                f"got {tuple(delta.shape)}"
            )
        if not bool(torch.isfinite(delta).all()):
            raise UsageError("harmless set: expected a finite δ, got NaN or infinity")
        dtype = torch.promote_types(delta.dtype, self.z.dtype)
        rows = delta.detach().to(self.z.device, dtype)
        rows = rows.reshape(math.prod(delta.shape[:split]), *self.shape)
        return self.holds(rows, None).reshape(delta.shape[:split])

    def sample(
        self, generator: torch.Generator, *, size: float = 1.0, count: tuple[int, ...] = ()
    ) -> Tensor:
        """Draws random members.

        Args:
            generator: On the CPU.
            size: Scale of the entries that nothing bounds.
            count: Batch shape.

        Returns:
            Members of shape ``(*count, *shape)``, in the dtype of z.
        """
        drawn = self.draw(math.prod(count), generator, size)
        return drawn.reshape(*count, *self.shape)

    def rounding(self, delta: Tensor, share: float) -> Tensor:
        """Returns a share of the largest entry of z and each δ, shape ``(B, 1, ..., 1)``."""
        both = torch.cat([delta.flatten(1), self.z.reshape(1, -1).expand(len(delta), -1)], dim=1)
        largest = both.abs().amax(dim=1) if self.n else both.new_zeros(len(both))
        return (share * largest).reshape(-1, *[1] * self.z.ndim)

    def normal(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws standard normal numbers ``(count, *shape)`` on the device of z."""
        noise = torch.randn(count, *self.shape, generator=generator, dtype=torch.float64)
        return noise.to(self.z)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dimension} of {self.n})"
