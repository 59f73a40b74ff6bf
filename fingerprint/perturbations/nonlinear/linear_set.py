"""The harmless set of a linear layer: a subspace, whatever the features (Theorem 1, Lemma 1.4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.segment import linear_operator
from fingerprint.perturbations.nonlinear.harmless_set import HarmlessSet
from fingerprint.spaces.null_space import null_space
from fingerprint.spaces.subspace import Subspace

__all__ = ["LinearSet"]


class LinearSet(HarmlessSet):
    """The null space of an operator, the same for all features (Theorem 1, Lemma 1.4).

    Attributes:
        operator: Maps tensors of the shape of z; its null space is the set.
    """

    def __init__(self, z: Tensor, operator: LinearOperator, *, note: str = "") -> None:
        """Takes the features and an operator on their whole shape.

        Raises:
            UsageError: The operator takes another shape.
        """
        super().__init__(z, note=note)
        if tuple(z.shape) != operator.in_shape:
            raise UsageError(
                f"harmless set: expected features of shape {operator.in_shape}, "
                f"got {tuple(z.shape)}"
            )
        self.operator = operator

    @classmethod
    def of(cls, z: Tensor, layer: Callable[[Tensor], Tensor]) -> LinearSet:
        """Returns the set of an affine function of features, batch dimension included.

        Raises:
            UsageError: It is not affine, or does not take these features.
        """
        operator = linear_operator(lambda x: layer(x[0])[None], tuple(z.shape), device=z.device)
        return cls(z, operator)

    @cached_property
    def space(self) -> Subspace:
        """The null space itself, found when it is first asked for."""
        return null_space(self.operator)

    @property
    def dimension(self) -> int | None:
        """``n - rank``; None where the operator is too large to decompose."""
        return self.space.dimension

    @cached_property
    def unread(self) -> Tensor:
        """Which entries the layer never reads, booleans of the shape of z."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(self.operator.out_shape, generator=generator, dtype=torch.float64)
        # Noise is orthogonal to a column with probability zero, unless the column is zero.
        column = self.operator.rmatvec(noise.to(self.operator.device, self.operator.dtype))
        return column == 0

    @property
    def free(self) -> int:
        """How many entries the layer never reads."""
        return int(self.unread.sum())

    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds of δ: infinite where the layer never reads, 0 elsewhere."""
        high = torch.where(self.unread.to(self.z.device), math.inf, torch.zeros_like(self.z))
        return -high, high

    def _contains(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        if slack is None:
            return self.space.contains(delta).to(self.z.device)
        outside = self.space.complement(delta).abs().flatten(1).amax(dim=1)
        return outside.to(self.z.device) <= slack.flatten()

    def _sample(self, count: int, generator: torch.Generator | None, size: float) -> Tensor:
        # Of noise that lies mostly outside, one projection leaves too much there.
        once = self.space.project(self.normal(count, generator))
        return (size * self.space.project(once)).to(self.z)
