"""Linear layers as linear operators, the bias left out.

from fingerprint.operators import first_affine_segment

segment = first_affine_segment(model, (3, 224, 224))
segment.operator            # what the network computes before its first nonlinearity
segment.layers              # ("div", "patch_embed.proj")
"""

from __future__ import annotations

from fingerprint.operators.base import DENSE_LIMIT, LinearOperator
from fingerprint.operators.composed import Product, Repeated, Stack, Sum
from fingerprint.operators.convert import linear_operator
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.normalization import Diagonal, batch_norm
from fingerprint.operators.patch import PatchConvolution, as_patches
from fingerprint.operators.pooling import (
    Pooling,
    adaptive_average_pooling,
    average_pooling,
    global_mean,
)
from fingerprint.operators.reshape import Gather, Pad, Permute, Reshape, Select
from fingerprint.operators.segment import AffineSegment, first_affine_segment
from fingerprint.operators.simplify import compose, same_kernel
from fingerprint.operators.storage import from_arrays, to_arrays
from fingerprint.operators.traced import Traced

__all__ = [
    "DENSE_LIMIT",
    "AffineSegment",
    "Convolution",
    "Dense",
    "Diagonal",
    "Gather",
    "LinearOperator",
    "Pad",
    "PatchConvolution",
    "Permute",
    "Pooling",
    "Product",
    "Repeated",
    "Reshape",
    "Select",
    "Stack",
    "Sum",
    "Traced",
    "adaptive_average_pooling",
    "as_patches",
    "average_pooling",
    "batch_norm",
    "compose",
    "first_affine_segment",
    "from_arrays",
    "global_mean",
    "linear_operator",
    "same_kernel",
    "to_arrays",
]
