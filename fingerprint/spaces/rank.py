"""When is a singular value zero? The one place where that is decided.

A matrix of floating-point numbers is known up to about ``eps * max(m, n) * sigma_max`` (backward
error of the decomposition), so singular values below that say nothing and count as zero; numpy
and LAPACK's drivers draw the same line.

    rank = numerical_rank(singular_values, (m, n), torch.float64)

The Gram matrix ``AᵀA`` is cheaper to decompose, but squaring loses half the digits: its
eigenvalues are known up to ``eps * max(m, n) * lambda_max``, hence singular values only down to
the *square root* of that, relative to the largest. It can prove that a rank is full; it can not
show that a rank is deficient.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "gram_cutoff",
    "membership_tolerance",
    "numerical_rank",
    "relative_cutoff",
    "singular_value_cutoff",
]

_GRAM_SAFETY = 8.0
"""Rounding of the products and of the factorisation add up; a certificate may not be close."""


def relative_cutoff(shape: tuple[int, int], dtype: torch.dtype) -> float:
    """Returns the share of the largest singular value below which nothing is known.

    Args:
        shape: ``(m, n)`` of the matrix.
        dtype: What its entries were computed in. Narrower types than float32 count as float32:
            their numbers are exact, and nothing is multiplied in them here.
    """
    eps = torch.finfo(torch.promote_types(dtype, torch.float32)).eps
    return float(eps * max(*shape, 1))


def singular_value_cutoff(largest: float, shape: tuple[int, int], dtype: torch.dtype) -> float:
    """Returns the value that a singular value must *exceed* to count as different from zero.

    The comparison is strict because the cutoff of a zero matrix is zero, and its rank is 0.

    Args:
        largest: The largest singular value, 0 for an empty matrix.
        shape: ``(m, n)`` of the matrix.
        dtype: What its entries were computed in.
    """
    return relative_cutoff(shape, dtype) * largest


def numerical_rank(
    singular_values: Tensor,
    shape: tuple[int, int],
    dtype: torch.dtype,
    *,
    largest: float | None = None,
) -> int:
    """Counts the singular values that differ from zero.

    Args:
        singular_values: Of shape ``(min(m, n),)``, in any order.
        shape: ``(m, n)`` of the matrix they belong to.
        dtype: What its entries were computed in.
        largest: The largest singular value of the whole operator, when these are the values of
            one of its blocks; their own largest if omitted.
    """
    if singular_values.numel() == 0:
        return 0
    top = float(singular_values.max()) if largest is None else largest
    return int((singular_values > singular_value_cutoff(top, shape, dtype)).sum())


def gram_cutoff(largest: float, shape: tuple[int, int], dtype: torch.dtype) -> float:
    """Returns the value an eigenvalue of a Gram matrix must exceed to prove a full rank.

    Args:
        largest: The largest eigenvalue of ``AᵀA`` or an upper bound of it.
        shape: ``(m, n)`` of ``A``.
        dtype: What ``A`` was computed in.
    """
    return _GRAM_SAFETY * relative_cutoff(shape, dtype) * largest


def membership_tolerance(n: int, given: torch.dtype, computed: torch.dtype) -> float:
    """Returns how far outside a subspace rounding alone may put a vector, relative to its norm.

    Args:
        n: Dimension of the space around it.
        given: The dtype the vector came in; it was rounded to that.
        computed: The dtype of the projection.
    """
    rounded = 4.0 * torch.finfo(given).eps if given.is_floating_point else 0.0
    return max(rounded, relative_cutoff((n, n), computed))
