"""Principal angles between two subspaces: how far two models' harmless spaces are apart.

Zero angles are shared directions; a right angle is a direction one model does not notice and
the other sees in full.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.spaces.subspace import Subspace

__all__ = ["principal_angles"]


def principal_angles(first: Subspace | Tensor, second: Subspace | Tensor) -> Tensor:
    """Computes the angles between two subspaces, largest first.

    Small angles come from their sines and large ones from their cosines, so both are exact to
    the last digits (Björck and Golub, 1973).

    Args:
        first: A subspace with an explicit basis, or any matrix of independent columns ``(n, p)``.
        second: Likewise, ``(n, q)``.

    Returns:
        Angles in radians within [0, π/2], shape ``(min(p, q),)``, float64.

    Raises:
        UsageError: The two live in spaces of different dimension, or a basis would not fit in
            memory.
    """
    one, two = _orthonormal(first), _orthonormal(second)
    if one.shape[0] != two.shape[0]:
        raise UsageError(
            f"principal angles: expected subspaces of one space, got {one.shape[0]} and "
            f"{two.shape[0]} dimensions"
        )
    if one.shape[1] < two.shape[1]:
        one, two = two, one
    inner = one.T @ two
    cosines = torch.linalg.svdvals(inner).clamp(max=1.0)
    sines = torch.linalg.svdvals(two - one @ inner).clamp(max=1.0).flip(0)
    # Cosines fall while sines, flipped, rise: entry i of both belongs to the same angle.
    angles = torch.where(cosines.square() >= 0.5, torch.asin(sines), torch.acos(cosines))
    return angles.flip(0)


def _orthonormal(space: Subspace | Tensor) -> Tensor:
    if isinstance(space, Subspace):
        return space.basis().to(torch.float64)
    basis: Tensor = torch.linalg.qr(space.to(torch.float64)).Q
    return basis
