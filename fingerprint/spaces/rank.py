"""When is a singular value zero, and how a rank is proven: the one place where that is decided.

A matrix of floating-point numbers is known up to about ``eps * max(m, n) * sigma_max`` (backward
error of the decomposition), so singular values below that say nothing and count as zero; numpy
and LAPACK's drivers draw the same line.

    rank = numerical_rank(singular_values, (m, n), torch.float64)

The Gram matrix ``AᵀA`` is cheaper to decompose, but squaring loses half the digits: its
eigenvalues are known up to ``eps * max(m, n) * lambda_max``, hence singular values only down to
the *square root* of that, relative to the largest. It can prove that a rank is full; it can not
show that a rank is deficient.

    proves_full_rank(gram_matrix(operator), operator.shape, operator.dtype)
    free_inputs(groups, n, dtype)       # the null space, where every window determines its inputs
    full_row_rank(groups, n, dtype)     # the rank, where every window has inputs of its own

Proofs are one-sided: they say yes only when it is certain. ``AᵀA`` is added up window by window,
or from products with ``A``, never from ``A`` itself, and one Cholesky factorisation decides; for a
3 x 32 x 32 input this takes two seconds where the decomposition of the 16384 x 3072 matrix takes a
minute. Proofs by windows cost one small decomposition for each kind of window, at any input size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.operators.base import LinearOperator
from fingerprint.spaces.windows import Windows, distinct, windows

__all__ = [
    "free_inputs",
    "full_row_rank",
    "gram_cutoff",
    "gram_matrix",
    "membership_tolerance",
    "numerical_rank",
    "proves_full_rank",
    "relative_cutoff",
    "singular_value_cutoff",
]

_BATCH_ENTRIES = 2**23
"""How many entries one batch of products may hold (64 MiB in float64)."""

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


# ---- by the Gram matrix ----


def gram_matrix(operator: LinearOperator) -> Tensor:
    """Returns ``AᵀA``, shape ``(n, n)``, float64."""
    groups = windows(operator, values=True)
    if groups is not None:
        return _from_windows(groups, operator.n, operator.device)
    n = operator.n
    batch = max(1, _BATCH_ENTRIES // max(operator.m, n))
    gram = torch.empty(n, n, dtype=torch.float64, device=operator.device)
    for start in range(0, n, batch):
        stop = min(start + batch, n)
        unit = torch.zeros(stop - start, n, dtype=operator.dtype, device=operator.device)
        unit[torch.arange(stop - start), torch.arange(start, stop)] = 1.0
        rows = operator.rmatvec(operator.matvec(unit.reshape(-1, *operator.in_shape)))
        gram[start:stop] = rows.reshape(stop - start, n).to(torch.float64)
    return (gram + gram.T) / 2


def _from_windows(groups: Windows, n: int, device: torch.device) -> Tensor:
    """Adds up the Gram matrices of all windows, each at the inputs it reads."""
    gram = torch.zeros(n * n, dtype=torch.float64, device=device)
    for group in groups:
        small = group.matrix.T @ group.matrix
        batch = max(1, _BATCH_ENTRIES // max(small.numel(), 1))
        for columns in torch.split(group.columns, batch):
            places = columns.unsqueeze(2) * n + columns.unsqueeze(1)
            values = small.expand(len(columns), *small.shape)
            gram.index_add_(0, places.reshape(-1), values.reshape(-1))
    return gram.reshape(n, n)


def proves_full_rank(gram: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> bool:
    """Says whether every eigenvalue is safely above the cutoff; False proves nothing.

    Args:
        gram: ``AᵀA`` or ``AAᵀ``, float64.
        shape: ``(m, n)`` of ``A``.
        dtype: What ``A`` was computed in.
    """
    if gram.numel() == 0:
        return True
    # The largest row sum bounds the largest eigenvalue from above. Cholesky of G - cI succeeds
    # exactly when all eigenvalues exceed c, up to rounding that the cutoff has room for.
    bound = float(gram.abs().sum(dim=1).max())
    shifted = gram.clone()
    shifted.diagonal().sub_(gram_cutoff(bound, shape, dtype))
    failed = torch.linalg.cholesky_ex(shifted).info
    return bound > 0 and int(failed) == 0


# ---- by the windows ----


def free_inputs(groups: Windows, n: int, dtype: torch.dtype) -> Tensor | None:
    """Finds the null space where every window alone determines what it reads.

    If the matrix of a window has full column rank, a harmless perturbation must vanish on all
    inputs of that window. If that holds for every window, the null space is exactly the inputs
    that no window reads. A 3 x 3 convolution of an RGB image into 27 or more channels is the
    usual case, whatever its stride and padding.

    Args:
        groups: All windows of the operator; they may overlap.
        n: Number of inputs.
        dtype: What the operator was computed in.

    Returns:
        Booleans of shape ``(n,)``, True for free inputs; None when some window does not
        determine its inputs.
    """
    free = torch.ones(n, dtype=torch.bool, device=groups[0].columns.device if groups else None)
    for group in groups:
        read = (group.matrix != 0).any(dim=0)
        if not _full_rank(group.matrix[:, read], dtype, columns=True):
            return None
        free[group.columns[:, read].reshape(-1)] = False
    return free


def full_row_rank(groups: Windows, n: int, dtype: torch.dtype) -> int | None:
    """Finds the rank where every window has enough inputs that no other window reads.

    If ``yᵀA = 0``, then ``y`` of a window vanishes as soon as the window's own inputs have full
    row rank. If that holds for every window, the rows of ``A`` are independent.

    Args:
        groups: All windows of the operator; they may overlap.
        n: Number of inputs.
        dtype: What the operator was computed in.

    Returns:
        The rank, equal to the number of outputs; None when it is not certain.
    """
    count = torch.zeros(n, dtype=torch.int64)
    for group in groups:
        count += torch.bincount(group.columns.reshape(-1).cpu(), minlength=n)
    outputs = 0
    for group in groups:
        own = (count == 1)[group.columns.cpu()]
        for pattern in distinct(own)[0]:
            if not _full_rank(
                group.matrix[:, pattern.to(group.matrix.device)], dtype, columns=False
            ):
                return None
        outputs += group.rows.numel()
    return outputs


def _full_rank(matrix: Tensor, dtype: torch.dtype, *, columns: bool) -> bool:
    p, q = matrix.shape
    wanted, other = (q, p) if columns else (p, q)
    if wanted > other:
        return False
    if wanted == 0:
        return True
    return numerical_rank(torch.linalg.svdvals(matrix), (p, q), dtype) == wanted
