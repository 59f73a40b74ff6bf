"""The null space of a linear operator: what may be added to its input without being noticed.

    space = null_space(operator)
    space.dimension         # n - rank, exact; None (and space.note says why) if too large
    space.project(noise)    # harmless whatever its size (Theorem 1 of the paper)

The way is chosen by structure, cheapest first: nothing to do for injective, empty and zero
operators; disjoint patches need one small decomposition; small operators are decomposed
exactly, after an attempt to prove full rank cheaply; the rest is matrix-free.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.errors import NoInformation
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import same_kernel
from fingerprint.spaces.blocks import (
    PatchSubspace,
    decomposed_blocks,
    disjoint_blocks,
    merge_windows,
)
from fingerprint.spaces.kernel import kernel_from_gram, matrix_kernel
from fingerprint.spaces.matrix_free import MatrixFreeSubspace
from fingerprint.spaces.rank import (
    free_inputs,
    full_row_rank,
    gram_matrix,
    proves_full_rank,
)
from fingerprint.spaces.subspace import (
    CoordinateSubspace,
    Subspace,
    TrivialSubspace,
    WholeSpace,
)
from fingerprint.spaces.windows import windows

__all__ = ["as_it_is", "check_finite", "generic_dimension", "null_space"]

MAX_DENSE = 2**26
"""Most float64 entries of any matrix that is built (512 MiB); larger spaces are matrix-free."""

MAX_GRAM_SIDE = 8192
"""A Cholesky factorisation of this side takes half a minute on one core."""

MAX_SVD_SIDE = 4096
"""A singular value decomposition of this side takes over a minute on one core."""


def null_space(operator: LinearOperator) -> Subspace:
    """Computes the null space of a linear operator.

    Cost: milliseconds for patches; a few seconds for 3 x 32 x 32 inputs of full rank and about
    a minute when the rank is deficient there; larger overlapping convolutions cost nothing here
    and an iteration at every projection.

    Args:
        operator: The layer seen as a map ``(n,) -> (m,)``.

    Returns:
        A subspace of dimension ``n - rank``.

    Raises:
        NoInformation: The operator holds NaN or infinity.
    """
    answer = check_finite(operator)
    if operator.is_injective:
        return _trivial(operator, "the layer is injective by its structure")
    if not bool(answer.any()):
        return WholeSpace(operator.in_shape, note="the operator is zero", device=operator.device)
    return as_it_is(same_kernel(operator))


def as_it_is(operator: LinearOperator, *, values: bool = False) -> Subspace:
    """Computes the null space of an operator that is not simplified any more.

    Args:
        operator: Finite and not zero.
        values: Whether factors on the left that lose nothing weigh in what counts as zero.
    """
    return (
        _by_structure(operator, values=values)
        or _by_decomposition(operator)
        or _by_iteration(operator)
    )


def generic_dimension(operator: LinearOperator) -> int:
    """Returns ``max(0, n - m)``, as the paper counts a harmless space (Corollaries 1 and 2).

    It is the dimension of an operator of full rank, and a lower bound of any other's. Linearly
    independent kernels no smaller than their stride do not suffice for full rank: ResNet's first
    layer at stride 7 on 32 x 32 images has corner windows that read 48 inputs and give 64
    outputs, and a 3 x 3 mean with padding 1 is singular on them. :func:`null_space` counts
    exactly.
    """
    return max(0, operator.n - operator.m)


def check_finite(operator: LinearOperator) -> Tensor:
    """Applies an operator to noise; NaN and infinity anywhere in it reach the result.

    Returns:
        The answer to the noise, shape ``out_shape``; all zeros only for a zero operator.

    Raises:
        NoInformation: The answer is not finite.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(operator.in_shape, generator=generator, dtype=torch.float64)
    answer = operator.matvec(noise.to(operator.device, operator.dtype))
    if not bool(torch.isfinite(answer).all()):
        raise NoInformation(
            f"linear part: expected finite weights, got NaN or infinity in {operator!r}; "
            "the file is damaged or the training diverged"
        )
    return answer


def _by_structure(operator: LinearOperator, *, values: bool) -> Subspace | None:
    groups = windows(operator, values=values)
    if groups is None:
        return None
    blocks = disjoint_blocks(groups, operator.n)
    if blocks is None:
        free = free_inputs(groups, operator.n, operator.dtype)
        if free is not None:
            note = "every window determines the inputs it reads; the others are free"
            return _simplest(CoordinateSubspace(free, operator.in_shape, note=note))
        blocks = merge_windows(groups, operator.n)
    if blocks is None:
        return None
    note = "block diagonal: one small decomposition, repeated"
    kernels = decomposed_blocks(blocks, operator.dtype)
    columns = [block.columns for block in blocks]
    space = PatchSubspace(kernels, columns, operator.in_shape, note=note, device=operator.device)
    return _simplest(space)


def _by_decomposition(operator: LinearOperator) -> Subspace | None:
    m, n = operator.shape
    if m >= n and n <= MAX_GRAM_SIDE and n * n <= MAX_DENSE:
        gram = gram_matrix(operator)
        if proves_full_rank(gram, operator.shape, operator.dtype):
            return _trivial(operator, "full column rank, proven by the Gram matrix")
        if n > MAX_SVD_SIDE:
            return None
        kernel = kernel_from_gram(operator, gram)
    elif m < n and m <= MAX_SVD_SIDE and m * n <= MAX_DENSE:
        kernel = matrix_kernel(operator.to_dense().to(torch.float64), operator.dtype)
    else:
        return None
    every = torch.arange(n, device=operator.device).unsqueeze(0)
    note = "singular value decomposition"
    return _simplest(
        PatchSubspace([kernel], [every], operator.in_shape, note=note, device=operator.device)
    )


def _by_iteration(operator: LinearOperator) -> Subspace:
    m, n = operator.shape
    rows = None
    if m < n and (groups := windows(operator)) is not None:
        rows = full_row_rank(groups, operator.n, operator.dtype)
    if rows is not None:
        note = "full row rank: every window reads inputs of its own that determine it"
        return MatrixFreeSubspace(operator, dimension=n - rows, note=note)
    bound = f"at least {n - m}" if m < n else "possibly 0"
    note = f"dimension not computed ({bound}): {m} x {n} is too large to decompose"
    return MatrixFreeSubspace(operator, note=note)


def _simplest(space: Subspace) -> Subspace:
    if space.dimension == 0:
        return TrivialSubspace(space.in_shape, note=space.note, device=space.device)
    return space


def _trivial(operator: LinearOperator, note: str) -> Subspace:
    return TrivialSubspace(operator.in_shape, note=note, device=operator.device)
