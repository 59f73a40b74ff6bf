"""Linear algebra on operators: harmless spaces, how they meet, and how to stay outside.

from fingerprint.spaces import null_space

space = null_space(operator)
space.dimension             # n - rank
space.project(noise)        # harmless whatever its size
"""

from __future__ import annotations

from fingerprint.spaces.blocks import PatchSubspace
from fingerprint.spaces.discriminative import OutsideSample, outside
from fingerprint.spaces.intersection import intersection
from fingerprint.spaces.least_harmful import LeastHarmful, least_harmful
from fingerprint.spaces.matrix_free import MatrixFreeSubspace, ProjectionWarning
from fingerprint.spaces.null_space import generic_dimension, null_space
from fingerprint.spaces.subspace import (
    CoordinateSubspace,
    Subspace,
    TrivialSubspace,
    WholeSpace,
)
from fingerprint.spaces.windows import frobenius_norm

__all__ = [
    "CoordinateSubspace",
    "LeastHarmful",
    "MatrixFreeSubspace",
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
]
