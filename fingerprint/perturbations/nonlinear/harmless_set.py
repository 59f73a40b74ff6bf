"""What one layer does not notice at the features it is given (Definition 2).

    found = harmless_set(nn.ReLU(), z)
    found.contains(delta)       # does the layer answer z + δ as it answers z?
    found.sample(generator)     # a random member
    found.dimension             # how many dimensions the features may move in

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

    Subclasses define the mathematics in :meth:`_contains`, :meth:`_sample`, :meth:`piece` and
    the two counts; checks and shapes are settled here.

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
    def free(self) -> int:
        """How many coordinates can move on their own, all others held."""

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
    def _contains(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        """Decides each of ``(B, *shape)``; returns ``(B,)``.

        Args:
            delta: In the precision of δ and z.
            slack: By how much a condition may be missed, ``(B, 1, ..., 1)``; None leaves it to
                the set.
        """

    @abstractmethod
    def _sample(self, count: int, generator: torch.Generator | None, size: float) -> Tensor:
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

    def contains(self, delta: Tensor, *, rtol: float | None = None) -> Tensor:
        """Says for each δ whether the layer, in exact arithmetic, does not notice it.

        Args:
            delta: Shape ``(..., *shape)``, finite.
            rtol: By how much a condition may be missed, relative to the largest entry of z and
                δ. If omitted, conditions are taken literally where the lemma needs no
                arithmetic but ``z + δ``, and to rounding error elsewhere.

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
        count = math.prod(delta.shape[:split])
        rows = delta.detach().to(self.z.device, dtype).reshape(count, *self.shape)
        slack = None if rtol is None else self.slack(rows, rtol)
        return self._contains(rows, slack).reshape(delta.shape[:split])

    def sample(
        self,
        generator: torch.Generator | None = None,
        *,
        size: float = 1.0,
        count: tuple[int, ...] = (),
    ) -> Tensor:
        """Draws random members.

        Args:
            generator: On the CPU; torch's own if omitted.
            size: Scale of the entries that nothing bounds.
            count: Batch shape.

        Returns:
            Members of shape ``(*count, *shape)``, in the dtype of z.
        """
        drawn = self._sample(math.prod(count), generator, size)
        return drawn.reshape(*count, *self.shape)

    def slack(self, delta: Tensor, rtol: float) -> Tensor:
        """Returns ``rtol`` times the largest entry of z and each δ, shape ``(B, 1, ..., 1)``."""
        largest = delta.abs().flatten(1).amax(dim=1) if self.n else delta.new_zeros(len(delta))
        if self.n:
            largest = largest.clamp(min=float(self.z.abs().max()))
        return (rtol * largest).reshape(-1, *[1] * self.z.ndim)

    def normal(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draws standard normal numbers ``(count, *shape)`` on the device of z."""
        noise = torch.randn(count, *self.shape, generator=generator, dtype=torch.float64)
        return noise.to(self.z.device, self.z.dtype)

    def uniform(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draws numbers of [0, 1), ``(count, *shape)``, on the device of z."""
        noise = torch.rand(count, *self.shape, generator=generator, dtype=torch.float64)
        return noise.to(self.z.device, self.z.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dimension} of {self.n})"
