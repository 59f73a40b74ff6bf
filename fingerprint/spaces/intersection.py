"""What is harmless for several models at once: ``N(A₁) ∩ N(A₂) = N([A₁; A₂])``.

A probe from the intersection of a model and its parent speaks for the family; to tell models
apart, probes are drawn outside of it (see ``discriminative``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Product, same_kernel, stacked
from fingerprint.operators.entries import Diagonal
from fingerprint.spaces.null_space import as_it_is, check_finite, null_space
from fingerprint.spaces.subspace import Subspace
from fingerprint.spaces.windows import frobenius_norm

__all__ = ["intersection"]


def intersection(operators: Sequence[LinearOperator]) -> Subspace:
    """Computes the intersection of the null spaces of several operators.

    Each operator is brought to the same mean singular value first, so that weights of different
    size do not decide whose null space counts. Patches of one geometry, or patches that nest,
    stay block diagonal.

    Args:
        operators: At least one, all with the same input shape.

    Returns:
        The subspace that all of them map to zero.

    Raises:
        UsageError: There is no operator, or their inputs differ.
        NoInformation: One of them holds NaN or infinity.
    """
    if not operators:
        raise UsageError("intersection: expected at least one operator, got none")
    members = []
    for operator in operators:
        check_finite(operator)
        simple = same_kernel(operator)
        norm = frobenius_norm(simple)
        if norm > 0.0:
            # A stack decides the rank of all its members together: one with small weights would
            # drown in the cutoff of another.
            scale = torch.tensor(math.sqrt(min(simple.shape)) / norm).to(
                simple.device, simple.dtype
            )
            members.append(Product(Diagonal(scale, simple.out_shape), simple))
    if len(members) < 2:
        return null_space(members[0] if members else stacked(operators))
    return as_it_is(stacked(members), values=True)
