"""Every perturbation is the sum of a harmless and a harmful part (Theorems 3 to 5)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fingerprint.spaces.subspace import Subspace

__all__ = ["Decomposition", "decompose"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Decomposition:
    """The unique orthogonal split of perturbations at a harmless subspace (Theorem 4).

    Attributes:
        harmless: ``Pδ``, shape ``(..., *in_shape)``.
        harmful: ``(I − P)δ``, same shape; perturbations with equal harmful part act
            identically on the layer (Theorem 5).
    """

    harmless: Tensor
    harmful: Tensor


def decompose(space: Subspace, delta: Tensor) -> Decomposition:
    """Splits perturbations of shape ``(..., *in_shape)`` at a harmless subspace."""
    harmless = space.project(delta)
    return Decomposition(harmless=harmless, harmful=delta.to(harmless.dtype) - harmless)
