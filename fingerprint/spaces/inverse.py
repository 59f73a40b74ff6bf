"""Proving a full rank, and finding the smallest singular values, from a factored Gram matrix.

    found = from_matrix(matrix, 3)          # too large to decompose, but not to factor
    found = from_convolution(operator, 3)   # its Gram matrix is banded
    found.values                            # the smallest singular values
    found is None                           # no proof

Of ``AᵀA`` and ``AAᵀ`` the smaller one is factored by Cholesky, with the cutoff taken off its
diagonal: that it can be proves that the rank is full (see ``gram``). Inverse iteration with the
factor finds the smallest singular values, and products with ``A`` itself measure them, so that
squaring costs no digits.

The Gram matrix of a convolution is banded when its entries are ordered by pixels, for two windows
share inputs only if they are near each other. It is read off from a few products with ``A``:
pixels too far apart to meet are probed at once. A 3 x 3 convolution of 16 channels at 32 x 32 has
16384 inputs but a band of 1070, and takes seconds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded
from scipy.sparse.linalg import ArpackError, eigsh
from scipy.sparse.linalg import LinearOperator as ScipyOperator
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.convolution import Convolution
from fingerprint.spaces.rank import gram_cutoff

__all__ = [
    "FullRank",
    "band_size",
    "from_convolution",
    "from_matrix",
    "gram_band",
    "probing_flops",
]

_SLOWER = 6.0
"""How many times slower torch convolves in float64 than it multiplies matrices."""

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


# ---- the banded Gram matrix ----


def band_size(operator: Convolution) -> tuple[int, int]:
    """Returns side and bandwidth of the smaller Gram matrix of one group of channels."""
    channels, *sizes = _shape(operator)
    width = 0
    for steps, size in zip(_reach(operator), sizes, strict=True):
        width = width * size + min(steps, size - 1)
    return channels * math.prod(sizes), width * channels + channels - 1


def probing_flops(operator: Convolution) -> float:
    """Returns the operations that :func:`gram_band` takes for one group, roughly.

    In units of products of large matrices: convolutions in float64 are several times slower.
    """
    channels, *sizes = _shape(operator)
    probes = channels * math.prod(_spans(operator, sizes))
    taps = math.prod(operator.weight.shape[1:])
    return _SLOWER * 4.0 * probes * taps * operator.m / operator.groups


def gram_band(operator: Convolution) -> NDArray[np.float64]:
    """Returns the lower half of the smaller Gram matrix: ``band[i - j, j] = G[i, j]``.

    Args:
        operator: A convolution of one group, in float64.

    Returns:
        Shape ``(width + 1, side)``, see :func:`band_size`; entry ``pixel · C + channel`` stands
        for a channel at a pixel, of inputs for ``AᵀA`` and of outputs for ``AAᵀ``.

    Raises:
        UsageError: It has several groups.
    """
    if operator.groups != 1:
        raise UsageError(f"Gram matrix: expected one group of channels, got {operator.groups}")
    channels, *sizes = _shape(operator)
    side, width = band_size(operator)
    band = np.zeros((width + 1, side))
    numbers = np.arange(channels)
    pixels = _numbered([np.arange(size) for size in sizes], sizes).reshape(-1)
    rows = pixels * channels + numbers[:, None]  # (C, pixels)
    for probes, source in _probes(operator, channels, sizes):
        answers = _product(operator, probes).reshape(channels, channels, -1).cpu().numpy()
        columns = source * channels + numbers[:, None]
        offsets = rows[None] - columns[:, None]
        # Where an axis is shorter than the reach, a probe is heard (as zero) beyond the band.
        places = (source >= 0) & (offsets >= 0) & (offsets <= width)
        offsets = offsets[places]
        band[offsets, np.broadcast_to(columns[:, None], places.shape)[places]] = answers[places]
    return band


def _probes(
    operator: Convolution, channels: int, sizes: Sequence[int]
) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """Yields probes, one for each channel, and the pixel each pixel hears, or -1."""
    reach, spans = _reach(operator), _spans(operator, sizes)
    eye = torch.eye(channels, dtype=operator.dtype, device=operator.device)
    for offsets in itertools.product(*(range(span) for span in spans)):
        probes = torch.zeros(channels, channels, *sizes, dtype=eye.dtype, device=eye.device)
        every = tuple(slice(o, None, span) for o, span in zip(offsets, spans, strict=True))
        probes[(slice(None), slice(None), *every)] = eye.reshape(
            channels, channels, *[1] * len(sizes)
        )
        heard = []
        for offset, span, steps, size in zip(offsets, spans, reach, sizes, strict=True):
            here = np.arange(size)
            there = here + (offset - here + steps) % span - steps
            heard.append(np.full(size, offset) if span == size else there)
        yield probes, _numbered(heard, sizes).reshape(-1)


def _numbered(places: Sequence[NDArray[np.int64]], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Numbers the pixels of a grid of coordinates; -1 where one is outside."""
    number = np.zeros((1,) * len(sizes), dtype=np.int64)
    inside = np.ones((1,) * len(sizes), dtype=bool)
    for axis, (place, size) in enumerate(zip(places, sizes, strict=True)):
        shaped = place.reshape(*[1] * axis, -1, *[1] * (len(sizes) - axis - 1))
        number = number * size + shaped
        inside = inside & (shaped >= 0) & (shaped < size)
    return np.where(inside, number, -1)


def _product(operator: Convolution, x: Tensor) -> Tensor:
    if operator.m < operator.n:
        return operator.matvec(operator.rmatvec(x))
    return operator.rmatvec(operator.matvec(x))


def _shape(operator: Convolution) -> tuple[int, ...]:
    """Shape of what the smaller Gram matrix acts on, for one group."""
    shape = operator.out_shape if operator.m < operator.n else operator.in_shape
    return (shape[0] // operator.groups, *shape[1:])


def _reach(operator: Convolution) -> list[int]:
    """How far apart, on each axis, two pixels can be that some window or input connects."""
    if operator.m >= operator.n:
        return [extent - 1 for extent in operator.extent]
    pairs = zip(operator.extent, operator.stride, strict=True)
    return [(extent - 1) // stride for extent, stride in pairs]


def _spans(operator: Convolution, sizes: Sequence[int]) -> list[int]:
    """Distance of pixels that are probed at once."""
    return [min(2 * r + 1, size) for r, size in zip(_reach(operator), sizes, strict=True)]
