"""Ways to the rank and the smallest singular values of a layer, and what each would cost.

    for way in ways(operator, 3):       # best first
        if way.flops <= flops and way.entries <= entries:
            found = way.run()           # None: this way found nothing certain

A cost is an estimate from shapes alone, made before anything is built. Nothing has a side that
grows with the area of the image, unless the estimate says that it is small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fingerprint.inspection.spectrum import Spectrum, combined, decomposed, kronecker
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Product, Repeated, factors_of
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.entries import Diagonal
from fingerprint.operators.pooling import Pooling
from fingerprint.spaces.inverse import band_size, from_convolution, from_matrix, probing_flops
from fingerprint.spaces.rank import (
    free_inputs,
    full_row_rank,
    numerical_rank,
    proves_full_rank,
)
from fingerprint.spaces.windows import windows

__all__ = ["Way", "core", "rank_bound", "ways"]

_CHUNK = 2**23
"""Entries of the matrices that are decomposed at once (64 MiB)."""

_MOST_FLOPS = 2.0**36
"""What a bound may cost: a kernel of a thousand channels each way."""

_SOLVES = 400.0
"""Operations of an inverse iteration, in units of the factor's entries."""

_SVD = 8.0
"""Operations of a decomposition, in units of the cubed shorter side; half of them are slow."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """One way to a spectrum.

    Attributes:
        flops: Floating-point operations, roughly.
        entries: Largest number of float64 entries held at once, roughly.
        run: Goes that way; None if it finds nothing certain.
    """

    flops: float
    entries: int
    run: Callable[[], Spectrum | None]

    def repeated(self, times: int) -> Way:
        """Returns the way to the spectrum of the layer at so many places."""

        def run() -> Spectrum | None:
            found = self.run()
            return found and found.repeated(times)

        return replace(self, run=run)


def ways(operator: LinearOperator, k: int) -> list[Way]:
    """Returns the ways to the spectrum of an operator, most complete first.

    Args:
        operator: A layer.
        k: How many of the smallest singular values to find.
    """
    inner = core(operator)
    if isinstance(inner, Repeated):
        times = math.prod(inner.times)
        return [way.repeated(times) for way in ways(inner.operator, k)]
    if isinstance(inner, Diagonal):
        scale = inner.scale.reshape(-1, 1, 1).to(torch.float64)
        copies = inner.n // scale.numel()
        run = lambda: decomposed([(scale, copies)], k, exact=True)  # noqa: E731
        return [Way(flops=scale.numel(), entries=scale.numel(), run=run)]
    if isinstance(inner, Pooling):
        sizes = [max(factor.shape) for factor in inner.factors]
        values = math.prod(min(factor.shape) for factor in inner.factors)
        flops = sum(_decomposition_flops(size, size) for size in sizes) + values
        return [Way(flops=flops, entries=values, run=lambda: kronecker(inner, k))]
    if isinstance(inner, Convolution) and inner.is_patchwise:
        taps = math.prod(inner.weight.shape[1:])
        blocks = inner.weight.reshape(inner.groups, -1, taps)
        return _of_blocks(blocks, math.prod(inner.out_shape[1:]), k)
    if isinstance(inner, Dense):
        return _of_blocks(inner.matrix[None], 1, k)
    if isinstance(inner, Convolution):
        return _of_convolution(inner, k)
    m, n = inner.shape
    dense = lambda: decomposed([(inner.to_dense().to(torch.float64)[None], 1)], k)  # noqa: E731
    return [Way(flops=_decomposition_flops(m, n), entries=m * n, run=dense)]


def core(operator: LinearOperator) -> LinearOperator:
    """Drops what only rearranges entries on either side, which changes no singular value."""
    factors = factors_of(operator)
    while len(factors) > 1 and factors[0].is_orthogonal:
        factors = factors[1:]
    while len(factors) > 1 and factors[-1].is_orthogonal:
        factors = factors[:-1]
    return factors[0] if len(factors) == 1 else Product(*factors)


def _of_blocks(blocks: Tensor, copies: int, k: int) -> list[Way]:
    """One matrix for each group, ``(groups, p, q)``, each at ``copies`` places."""
    count, p, q = blocks.shape
    short, long = sorted((p, q))
    found = [
        Way(
            flops=count * _decomposition_flops(p, q),
            entries=blocks.numel(),
            run=lambda: decomposed([(blocks.to(torch.float64), copies)], k),
        )
    ]
    if count == 1:

        def proven() -> Spectrum | None:
            proof = from_matrix(blocks[0].to(torch.float64), k)
            return combined([(proof, copies)], k, (p * copies, q * copies))

        flops = 2.0 * long * short**2 + short**3 + _SOLVES * short**2
        found.append(Way(flops=flops, entries=max(3 * short**2, p * q), run=proven))
    return found


def rank_bound(operator: LinearOperator) -> int:
    """Returns a number that the rank does not exceed, without decomposing the operator.

    A kernel with fewer independent input channels than it has leaves the others harmless at
    every pixel; one with fewer independent filters has as many fewer independent outputs.
    """
    inner = core(operator)
    bound = min(inner.shape)
    if isinstance(inner, Repeated):
        return min(bound, rank_bound(inner.operator) * math.prod(inner.times))
    if not isinstance(inner, Convolution) or inner.in_shape[0] == inner.groups:
        return bound
    kernels = inner.weight.reshape(inner.groups, -1, *inner.weight.shape[1:]).flatten(3)
    filters, channels = kernels.flatten(2), kernels.transpose(1, 2).flatten(2)
    if inner.groups * _decomposition_flops(*filters.shape[1:]) > _MOST_FLOPS:
        return bound
    pixels = math.prod(inner.in_shape[1:])
    windows_in_all = math.prod(inner.out_shape[1:])
    by_filters = sum(_rank(matrix) for matrix in filters) * windows_in_all
    by_channels = sum(_rank(matrix) for matrix in channels) * pixels
    return min(bound, by_filters, by_channels)


def _rank(matrix: Tensor) -> int:
    exact = matrix.to(torch.float64)
    short = exact if len(exact) <= exact.shape[1] else exact.T
    if proves_full_rank(short @ short.T, (len(exact), exact.shape[1]), torch.float64):
        return len(short)
    values = torch.linalg.svdvals(exact)
    return numerical_rank(values, (matrix.shape[0], matrix.shape[1]), torch.float64)


# ---- convolutions whose windows overlap ----


def _of_convolution(operator: Convolution, k: int) -> list[Way]:
    """Returns the ways to the spectrum of a convolution whose windows overlap.

    Its groups of channels are decomposed, each as a matrix, where the image is small; else they
    are proven of full rank by their banded Gram matrices; else the rank alone may follow from
    the windows.
    """
    groups = operator.groups
    m, n = operator.m // groups, operator.n // groups
    side, width = band_size(operator)
    taps = math.prod(operator.weight.shape[1:])
    found = [
        Way(
            flops=groups * _decomposition_flops(m, n),
            entries=max(m * n, min(_CHUNK, groups * m * n)),
            run=lambda: decomposed(_group_matrices(operator), k),
        ),
        Way(
            flops=groups * (side * width**2 + _SOLVES * side * width + probing_flops(operator)),
            entries=2 * side * (width + 1),
            run=lambda: _by_band(operator, k),
        ),
    ]
    reads_own = any(stride > 1 for stride in operator.stride)
    if operator.weight.shape[0] // groups >= taps or (operator.m < operator.n and reads_own):
        entries = math.prod(operator.out_shape[1:]) * taps * groups
        found.append(
            Way(flops=100.0 * entries, entries=6 * entries, run=lambda: _by_windows(operator))
        )
    return found


def _different_groups(operator: Convolution) -> list[tuple[int, int]]:
    """Lists each group that differs from those before, and how often it occurs."""
    flat = operator.weight.reshape(operator.groups, -1)
    _, which, counts = torch.unique(flat, dim=0, return_inverse=True, return_counts=True)
    first: dict[int, int] = {}
    for group, number in enumerate(which.tolist()):
        first.setdefault(number, group)
    return [(group, int(counts[number])) for number, group in first.items()]


def _group_matrices(operator: Convolution) -> Iterator[tuple[Tensor, int]]:
    """Yields the matrices of a convolution's groups, ``(groups, m, n)``, and their copies."""
    m, n = operator.m // operator.groups, operator.n // operator.groups
    shape = (operator.in_shape[0] // operator.groups, *operator.in_shape[1:])
    eye = torch.eye(n, dtype=torch.float64, device=operator.device).reshape(n, 1, *shape)
    kernels = operator.weight.reshape(operator.groups, -1, *operator.weight.shape[1:])
    by_copies: dict[int, list[int]] = {}
    for group, copies in _different_groups(operator):
        by_copies.setdefault(copies, []).append(group)
    size = max(1, _CHUNK // (m * n))
    for copies, numbers in by_copies.items():
        for start in range(0, len(numbers), size):
            chosen = numbers[start : start + size]
            several = Convolution(
                kernels[chosen].flatten(0, 1).to(torch.float64),
                (len(chosen) * shape[0], *shape[1:]),
                stride=operator.stride,
                padding=operator.padding,
                dilation=operator.dilation,
                groups=len(chosen),
            )
            images = several.matvec(eye.expand(n, len(chosen), *shape).flatten(1, 2))
            yield images.reshape(n, len(chosen), m).permute(1, 2, 0), copies


def _by_band(operator: Convolution, k: int) -> Spectrum | None:
    # Proofs first: values cost more, and are for nothing where a later group has no proof.
    if k and operator.groups > 1 and _by_band(operator, 0) is None:
        return None
    per_group = operator.out_shape[0] // operator.groups
    shape = (operator.in_shape[0] // operator.groups, *operator.in_shape[1:])
    proofs = []
    for group, copies in _different_groups(operator):
        kernel = operator.weight[group * per_group : (group + 1) * per_group]
        if not bool(kernel.any()):
            continue
        single = Convolution(
            kernel.to(torch.float64),
            shape,
            stride=operator.stride,
            padding=operator.padding,
            dilation=operator.dilation,
        )
        proof = from_convolution(single, k)
        if proof is None:
            return None
        proofs.append((proof, copies))
    return combined(proofs, k, operator.shape)


def _by_windows(operator: Convolution) -> Spectrum | None:
    groups = windows(operator, values=True)
    if groups is None:
        return None
    note = "rank proven window by window; singular values not computed: the windows overlap"
    free = free_inputs(groups, operator.n, operator.dtype)
    if free is not None:
        return Spectrum(rank=operator.n - int(free.sum()), note=note)
    rank = full_row_rank(groups, operator.n, operator.dtype)
    return None if rank is None else Spectrum(rank=rank, note=note)


def _decomposition_flops(m: int, n: int) -> float:
    """Returns the operations of finding all singular values of a matrix."""
    short, long = sorted((m, n))
    return 2.0 * long * short**2 + _SVD * short**3
