"""Subspaces given by a basis, where the library only knows those of operators."""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.spaces.blocks import PatchSubspace
from fingerprint.spaces.kernel import MatrixKernel
from fingerprint.spaces.subspace import Subspace

__all__ = ["columns", "span"]


def span(basis: Tensor) -> Subspace:
    """Returns the span of orthonormal columns, shape ``(n, d)``."""
    n, d = basis.shape
    return PatchSubspace([MatrixKernel(n - d, basis, None)], [torch.arange(n)[None]], (n,))


def columns(space: Subspace) -> Tensor:
    """Returns orthonormal columns of a small space, shape ``(n, d)``, from projections alone."""
    units = torch.eye(space.n, dtype=torch.float64).reshape(space.n, *space.in_shape)
    values, vectors = torch.linalg.eigh(space.project(units).reshape(space.n, space.n))
    found: Tensor = vectors[:, values > 0.5]
    return found
