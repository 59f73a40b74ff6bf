"""Proving a full rank, and finding the smallest singular values, from a factored Gram matrix.

    found = from_matrix(matrix, 3)          # too large to decompose, but not to factor
    found = from_convolution(operator, 3)   # its Gram matrix is banded
    found.values                            # the smallest singular values
    found is None                           # no proof

Of ``AᵀA`` and ``AAᵀ`` the smaller one is factored by Cholesky, with the cutoff taken off its
diagonal: that it can be proves that the rank is full (see ``gram``). Inverse iteration with the
factor finds the smallest singular values, and products with ``A`` itself measure them, so that
squaring costs no digits. A 3 x 3 convolution of 16 channels at 32 x 32 has 16384 inputs but a
band of 1070, and takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded
from scipy.sparse.linalg import ArpackError, eigsh
from scipy.sparse.linalg import LinearOperator as ScipyOperator
from torch import Tensor

from fingerprint.operators.convolution import Convolution
from fingerprint.spaces.convolution_gram import gram_band
from fingerprint.spaces.rank import gram_cutoff

__all__ = ["FullRank", "from_convolution", "from_matrix"]

_Array = NDArray[np.float64]
_Product = Callable[[_Array], _Array]
_SEARCH = 20
"""Directions an iteration keeps at once: more than it is asked for make it converge faster."""

_MOST_RESTARTS = 12
"""Where the iteration gives up; values that lie close together take most."""
_TOLERANCE = 1e-9
"""Of its eigenvalues; measuring by products squares what is left of the error."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FullRank:
    """An operator that has no singular values but zeros that its shape or unread entries force.

    Attributes:
        rank: How many singular values are not zero.
        values: The smallest of these in rising order; empty where the iteration gave up. One
            that occurs many times may be listed fewer times: Lanczos iterations miss copies.
        proven: A number that all of them exceed.
        largest: A number that none of them exceeds.
    """

    rank: int
    values: tuple[float, ...]
    proven: float
    largest: float


def from_matrix(matrix: Tensor, k: int) -> FullRank | None:
    """Proves that a matrix has full rank.

    Args:
        matrix: Shape ``(m, n)``, float64, finite.
        k: How many of the smallest singular values to find.

    Returns:
        The proof, or None where there is none: the rank is deficient, or too nearly so for a
        Gram matrix to tell.
    """
    m, n = matrix.shape
    tall = matrix if m >= n else matrix.T
    gram = tall.T @ tall
    bound = float(gram.abs().sum(dim=1).max()) if gram.numel() else 0.0
    if bound == 0.0:
        return None
    cutoff = gram_cutoff(bound, (m, n), torch.float64)
    gram.diagonal().sub_(cutoff)
    factor, failed = torch.linalg.cholesky_ex(gram)
    del gram
    if int(failed):
        return None

    def solved(x: _Array) -> _Array:
        right = torch.from_numpy(x).to(factor.device).reshape(-1, 1)
        found: _Array = torch.cholesky_solve(right, factor).squeeze(1).cpu().numpy()
        return found

    def applied(x: _Array) -> _Array:
        found: _Array = (tall @ torch.from_numpy(x).to(tall.device)).cpu().numpy()
        return found

    side = min(m, n)
    proven = math.sqrt(cutoff)
    values = _smallest(solved, applied, side, k, proven)
    return FullRank(rank=side, values=values, proven=proven, largest=math.sqrt(bound))


def from_convolution(operator: Convolution, k: int) -> FullRank | None:
    """Proves that a convolution of one group has full rank; see :func:`from_matrix`.

    Entries that no weight reads or writes are set aside: they lower the rank, one each.

    Args:
        operator: The convolution, in float64.
        k: How many of the smallest singular values to find.

    Raises:
        UsageError: It has several groups.
    """
    band = gram_band(operator)
    side = band.shape[1]
    bound = _largest_row_sum(band)
    if bound == 0.0:
        return None
    cutoff = gram_cutoff(bound, operator.shape, torch.float64)
    unused = band[0] == 0.0
    band[0] = np.where(unused, bound, band[0]) - cutoff
    try:
        factor = cholesky_banded(band, overwrite_ab=True, lower=True, check_finite=False)
    except LinAlgError:
        return None
    proven = math.sqrt(cutoff)
    values = _smallest(
        lambda x: cho_solve_banded((factor, True), x, check_finite=False),
        lambda x: _image(operator, np.where(unused, 0.0, x)),
        side,
        k,
        proven,
    )
    return FullRank(
        rank=side - int(unused.sum()),
        values=values,
        proven=proven,
        largest=math.sqrt(bound),
    )


def _largest_row_sum(band: _Array) -> float:
    """Bounds the largest eigenvalue of a symmetric banded matrix."""
    side = band.shape[1]
    sums = np.abs(band).sum(axis=0)
    for offset in range(1, len(band)):
        sums[offset:] += np.abs(band[offset, : side - offset])
    return float(sums.max(initial=0.0))


def _image(operator: Convolution, x: _Array) -> _Array:
    """Applies the operator, or its transpose where it is wide, to entries ordered by pixels."""
    wide = operator.m < operator.n
    channels, *sizes = operator.out_shape if wide else operator.in_shape
    image = torch.from_numpy(x).reshape(*sizes, channels).movedim(-1, 0).to(operator.device)
    answer = operator.rmatvec(image) if wide else operator.matvec(image)
    found: _Array = answer.reshape(-1).cpu().numpy()
    return found


def _smallest(
    inverse: _Product, apply: _Product, side: int, k: int, proven: float
) -> tuple[float, ...]:
    """Finds the smallest singular values by inverse iteration and measures them by products.

    Args:
        inverse: Solves with the Gram matrix.
        apply: Multiplies by the operator itself.
        side: Side of the Gram matrix.
        k: How many.
        proven: What all of them exceed; unread entries, whose value is 0, stay far below.
    """
    if k == 0:
        return ()
    if side <= max(_SEARCH, 2 * k):
        basis = np.eye(side)
    else:
        solve = ScipyOperator((side, side), matvec=inverse, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(side)
        try:
            room = min(side, 2 * k + _SEARCH)
            basis = eigsh(solve, k=k, v0=start, ncv=room, maxiter=_MOST_RESTARTS, tol=_TOLERANCE)[1]
        except ArpackError:
            return ()
        basis = np.linalg.qr(basis)[0]
    # Rayleigh and Ritz with A itself: what its square lost of the small values comes back.
    images = np.stack([apply(np.ascontiguousarray(column)) for column in basis.T], axis=1)
    found = sorted(np.linalg.svd(images, compute_uv=False))
    return tuple(float(value) for value in found if value > proven / 2)[:k]
