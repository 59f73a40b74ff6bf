"""What is harmless for several models at once: ``N(A₁) ∩ N(A₂) = N([A₁; A₂])``.

A probe from the intersection of a model and its parent speaks for the family; to tell models
apart, probes are drawn outside of it (see ``outside``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Stack
from fingerprint.operators.simplify import same_kernel
from fingerprint.spaces.norms import frobenius_norm
from fingerprint.spaces.null_space import MAX_DENSE, check_finite, null_space
from fingerprint.spaces.scaled import Scaled
from fingerprint.spaces.subspace import Subspace

__all__ = ["intersection"]


def intersection(operators: Sequence[LinearOperator], *, max_dense: int = MAX_DENSE) -> Subspace:
    """Computes the intersection of the null spaces of several operators.

    Each operator is brought to the same mean singular value first, so that weights of different
    size do not decide whose null space counts. Patches of one geometry, or patches that nest,
    stay block diagonal.

    Args:
        operators: At least one, all with the same input shape.
        max_dense: See :func:`~fingerprint.spaces.null_space.null_space`.

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
            mean = norm / math.sqrt(min(simple.shape))
            members.append(Scaled(simple, 1.0 / mean))
    if not members:
        return null_space(Stack(list(operators)), max_dense=max_dense)
    if len(members) == 1:
        return null_space(members[0].operator, max_dense=max_dense)
    return null_space(Stack(members), max_dense=max_dense)
