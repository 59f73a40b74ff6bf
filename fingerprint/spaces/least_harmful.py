"""The perturbations a linear layer notices least, where nothing is entirely harmless.

The unit vector of least ``‖A δ‖`` is the right singular vector of the smallest singular value
(Lemma 2 of the paper). Where the null space is not trivial, its vectors come first, with
singular value zero.

    found = least_harmful(operator, k=4)
    found.directions        # (4, *in_shape), orthonormal, least noticed first
    found.singular_values   # (4,): their responses
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.spaces.kernel import smallest_singular
from fingerprint.spaces.null_space import MAX_SVD_SIDE, check_finite
from fingerprint.spaces.rank import gram_matrix, singular_value_cutoff
from fingerprint.spaces.windows import frobenius_norm

__all__ = ["LeastHarmful", "least_harmful"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LeastHarmful:
    """Unit directions of least response, least first.

    Attributes:
        directions: Orthonormal, shape ``(k, *in_shape)``, float64.
        singular_values: ``‖A δ‖`` of each, shape ``(k,)``; zero where it counts as zero.
    """

    directions: Tensor
    singular_values: Tensor


def least_harmful(operator: LinearOperator, k: int = 1) -> LeastHarmful:
    """Finds the ``k`` orthonormal directions of least response, exactly.

    Args:
        operator: The layer seen as a map ``(n,) -> (m,)`` of up to ``MAX_SVD_SIDE`` inputs.
        k: How many directions.

    Raises:
        UsageError: ``k`` is not between 1 and ``n``, or the operator is too large.
        NoInformation: The operator holds NaN or infinity.
    """
    if not 1 <= k <= operator.n:
        raise UsageError(f"least harmful: expected k between 1 and {operator.n}, got {k}")
    check_finite(operator)
    if operator.n > MAX_SVD_SIDE:
        raise UsageError(
            f"least harmful: expected at most {MAX_SVD_SIDE} inputs, got {operator!r}; "
            "project noise on its null space"
        )
    if operator.m >= operator.n:
        directions = smallest_singular(operator, gram_matrix(operator), k)[1][:, :k]
    else:
        directions = torch.linalg.svd(operator.to_dense().to(torch.float64))[2].flip(0)[:k].T
    shaped = directions.T.reshape(-1, *operator.in_shape).contiguous()
    responses = operator.matvec(shaped.to(operator.dtype)).flatten(1).to(torch.float64).norm(dim=1)
    cutoff = singular_value_cutoff(frobenius_norm(operator), operator.shape, operator.dtype)
    return LeastHarmful(
        directions=shaped,
        singular_values=torch.where(responses > cutoff, responses, 0.0).cpu(),
    )
