"""Linear algebra on operators: harmless spaces, how they meet, and how to stay outside.

from fingerprint.spaces import null_space

space = null_space(operator)
space.dimension             # n - rank
space.project(noise)        # harmless whatever its size
"""

from __future__ import annotations

from fingerprint.spaces.generic import generic_dimension
from fingerprint.spaces.intersection import intersection
from fingerprint.spaces.least_harmful import LeastHarmful, least_harmful
from fingerprint.spaces.matrix_free import MatrixFreeSubspace, ProjectionWarning
from fingerprint.spaces.norms import frobenius_norm, relative_response
from fingerprint.spaces.null_space import null_space
from fingerprint.spaces.outside import OutsideSample, outside
from fingerprint.spaces.patch_subspace import PatchSubspace
from fingerprint.spaces.principal_angles import principal_angles
from fingerprint.spaces.subspace import (
    CoordinateSubspace,
    DenseSubspace,
    OrthogonalComplement,
    Subspace,
    TrivialSubspace,
    WholeSpace,
)

__all__ = [
    "CoordinateSubspace",
    "DenseSubspace",
    "LeastHarmful",
    "MatrixFreeSubspace",
    "OrthogonalComplement",
    "OutsideSample",
    "PatchSubspace",
    "ProjectionWarning",
    "Subspace",
    "TrivialSubspace",
    "WholeSpace",
    "frobenius_norm",
    "generic_dimension",
    "intersection",
    "least_harmful",
    "null_space",
    "outside",
    "principal_angles",
    "relative_response",
]
