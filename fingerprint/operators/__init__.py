"""Linear layers as linear operators, the bias left out.

from fingerprint.operators import first_affine_segment

segment = first_affine_segment(model, (3, 224, 224))
segment.operator            # what the network computes before its first nonlinearity
segment.layers              # ("div", "patch_embed.proj")
"""

from __future__ import annotations

from fingerprint.operators.base import DENSE_LIMIT, LinearOperator
from fingerprint.operators.composed import Product, Repeated, Sum, compose, same_kernel, stacked
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.entries import Diagonal, Entries
from fingerprint.operators.linearized import Linearized
from fingerprint.operators.pooling import Pooling
from fingerprint.operators.segment import AffineSegment, first_affine_segment, linear_operator
from fingerprint.operators.storage import from_arrays, to_arrays

__all__ = [
    "DENSE_LIMIT",
    "AffineSegment",
    "Convolution",
    "Dense",
    "Diagonal",
    "Entries",
    "LinearOperator",
    "Linearized",
    "Pooling",
    "Product",
    "Repeated",
    "Sum",
    "compose",
    "first_affine_segment",
    "from_arrays",
    "linear_operator",
    "same_kernel",
    "stacked",
    "to_arrays",
]
