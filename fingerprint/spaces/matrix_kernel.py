"""The row space of an explicit matrix, exactly: what its null space is the complement of.

    kernel = matrix_kernel(matrix, torch.float64)
    kernel.rank             # numerical rank
    kernel.row_basis        # (n, rank), orthonormal
    kernel.null_basis       # (n, n - rank), or None where it was not needed

Exactly one of both bases is stored, the thinner one, so that a null space of 150 000 dimensions
costs no more than the ten rows that define it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.spaces.gram import proves_full_rank
from fingerprint.spaces.rank import numerical_rank

__all__ = ["MatrixKernel", "matrix_kernel"]

_WORTH_A_CERTIFICATE = 512
"""Below this many rows or columns a decomposition is as quick as its shortcut."""


@dataclass(frozen=True, eq=False)
class MatrixKernel:
    """Row space and null space of a matrix with ``n`` columns.

    Attributes:
        rank: Its numerical rank.
        null_basis: Orthonormal columns ``(n, n - rank)``; None if ``row_basis`` is thinner.
        row_basis: Orthonormal columns ``(n, rank)``; None if ``null_basis`` is thinner.
    """

    rank: int
    null_basis: Tensor | None
    row_basis: Tensor | None

    def project(self, rows: Tensor) -> Tensor:
        """Projects vectors onto the null space: ``(..., n)`` -> ``(..., n)``."""
        if self.null_basis is not None:
            return (rows @ self.null_basis) @ self.null_basis.T
        assert self.row_basis is not None  # one of both is always there
        return rows - (rows @ self.row_basis) @ self.row_basis.T

    def basis(self) -> Tensor:
        """Returns orthonormal columns that span the null space, shape ``(n, n - rank)``."""
        if self.null_basis is not None:
            return self.null_basis
        assert self.row_basis is not None
        complete: Tensor = torch.linalg.qr(self.row_basis, mode="complete").Q
        return complete[:, self.rank :]


def matrix_kernel(
    matrix: Tensor,
    dtype: torch.dtype,
    *,
    largest: float | None = None,
) -> MatrixKernel:
    """Decomposes a matrix.

    Args:
        matrix: Shape ``(m, n)``, float64, finite.
        dtype: What its entries were computed in; sets the cutoff of singular values.
        largest: The largest singular value of the operator it is a block of; its own if
            omitted.
    """
    m, n = matrix.shape
    if min(m, n) >= _WORTH_A_CERTIFICATE and largest is None:
        gram = matrix @ matrix.T if m < n else matrix.T @ matrix
        if proves_full_rank(gram, (m, n), dtype):
            if m >= n:
                return MatrixKernel(n, matrix.new_zeros(n, 0), None)
            return _of_rows(torch.linalg.qr(matrix.T).Q)
    if m > n:
        matrix = torch.linalg.qr(matrix, mode="r").R
    wide = matrix.shape[0] < n
    singular_values, right = torch.linalg.svd(matrix, full_matrices=not wide)[1:]
    rank = numerical_rank(singular_values, (m, n), dtype, largest=largest)
    if wide or 2 * rank <= n:
        return _of_rows(right[:rank].T.contiguous())
    return MatrixKernel(rank, right[rank:].T.contiguous(), None)


def _of_rows(row_basis: Tensor) -> MatrixKernel:
    n, rank = row_basis.shape
    if rank == n:
        return MatrixKernel(n, row_basis.new_zeros(n, 0), None)
    return MatrixKernel(rank, None, row_basis)
