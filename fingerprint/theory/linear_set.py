"""The harmless set of a linear layer: a subspace, whatever the features (Theorem 1, Lemma 1.4)."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Repeated
from fingerprint.spaces.null_space import null_space
from fingerprint.spaces.subspace import Subspace
from fingerprint.theory.harmless_set import HarmlessSet

__all__ = ["LinearSet"]


class LinearSet(HarmlessSet):
    """The null space of an operator on the last axes of z, the same for all features.

    Attributes:
        operator: Maps tensors of the shape of z; its null space is the set.
    """

    def __init__(self, z: Tensor, operator: LinearOperator) -> None:
        super().__init__(z)
        times = tuple(z.shape[: z.ndim - len(operator.in_shape)])
        self.operator = Repeated(operator, times) if times else operator

    @cached_property
    def space(self) -> Subspace:
        """The null space itself, found when it is first asked for."""
        return null_space(self.operator)

    @property
    def dimension(self) -> int | None:
        """``n - rank``; None where the operator is too large to decompose."""
        return self.space.dimension

    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds of δ: infinite where the layer never reads, 0 elsewhere."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(self.operator.out_shape, generator=generator, dtype=torch.float64)
        # Noise is orthogonal to a column with probability zero, unless the column is zero.
        column = self.operator.rmatvec(noise.to(self.operator.device, self.operator.dtype))
        high = torch.where((column == 0).to(self.z.device), math.inf, torch.zeros_like(self.z))
        return -high, high

    def seen(self, delta: Tensor) -> Tensor:
        """Returns what the layer answers."""
        return self.operator.matvec(delta.to(self.operator.dtype))

    def holds(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        """Decides each of ``(B, *shape)`` by its distance from the space."""
        if slack is None:
            return self.space.contains(delta).to(self.z.device)
        outside = self.space.complement(delta).abs().flatten(1).amax(dim=1)
        return outside.to(self.z.device) <= slack.flatten()

    def draw(self, count: int, generator: torch.Generator, size: float) -> Tensor:
        """Draws ``(count, *shape)``, normal within the space."""
        # Of noise that lies mostly outside, one projection leaves too much there.
        once = self.space.project(self.normal(count, generator))
        return (size * self.space.project(once)).to(self.z)
