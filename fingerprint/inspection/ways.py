"""Ways to the rank and the smallest singular values of a layer, and what each would cost.

    for way in ways(operator, 3):       # best first
        if way.flops <= flops and way.entries <= entries:
            found = way.run()           # None: this way found nothing certain

A cost is an estimate from shapes alone, made before anything is built.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fingerprint.inspection.convolution_ways import convolution_ways
from fingerprint.inspection.spectrum import Spectrum, combined, decomposed, kronecker
from fingerprint.inspection.way import SOLVES, Way, decomposition_flops
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Product, Repeated, factors_of
from fingerprint.operators.convolution import Convolution, PatchConvolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.entries import Diagonal
from fingerprint.operators.pooling import Pooling
from fingerprint.spaces.inverse import from_matrix

__all__ = ["core", "ways"]


def ways(operator: LinearOperator, k: int) -> list[Way]:
    """Returns the ways to the spectrum of an operator, most complete first.

    Args:
        operator: A layer.
        k: How many of the smallest singular values to find.
    """
    inner = core(operator)
    if isinstance(inner, Repeated):
        times = math.prod(inner.times)
        return [_times(way, times) for way in ways(inner.operator, k)]
    if isinstance(inner, Diagonal):
        scale = inner.scale.reshape(-1, 1, 1).to(torch.float64)
        copies = inner.n // scale.numel()
        run = lambda: decomposed([(scale, copies)], k, exact=True)  # noqa: E731
        return [Way(flops=scale.numel(), entries=scale.numel(), run=run)]
    if isinstance(inner, Pooling):
        sizes = [max(factor.shape) for factor in inner.factors]
        values = math.prod(min(factor.shape) for factor in inner.factors)
        flops = sum(decomposition_flops(size, size) for size in sizes) + values
        return [Way(flops=flops, entries=values, run=lambda: kronecker(inner, k))]
    if isinstance(inner, PatchConvolution):
        return _of_blocks(inner.block(), inner.patches, k)
    if isinstance(inner, Dense):
        return _of_blocks(inner.matrix[None], 1, k)
    if isinstance(inner, Convolution):
        return convolution_ways(inner, k)
    m, n = inner.shape
    dense = lambda: decomposed([(inner.to_dense().to(torch.float64)[None], 1)], k)  # noqa: E731
    return [Way(flops=decomposition_flops(m, n), entries=m * n, run=dense)]


def core(operator: LinearOperator) -> LinearOperator:
    """Drops what only rearranges entries on either side, which changes no singular value."""
    factors = factors_of(operator)
    while len(factors) > 1 and factors[0].is_orthogonal:
        factors = factors[1:]
    while len(factors) > 1 and factors[-1].is_orthogonal:
        factors = factors[:-1]
    return factors[0] if len(factors) == 1 else Product(*factors)


def _times(way: Way, times: int) -> Way:
    def run() -> Spectrum | None:
        found = way.run()
        return found and found.repeated(times)

    return Way(flops=way.flops, entries=way.entries, run=run)


def _of_blocks(blocks: Tensor, copies: int, k: int) -> list[Way]:
    """One matrix for each group, ``(groups, p, q)``, each at ``copies`` places."""
    count, p, q = blocks.shape
    short, long = sorted((p, q))
    found = [
        Way(
            flops=count * decomposition_flops(p, q),
            entries=blocks.numel(),
            run=lambda: decomposed([(blocks.to(torch.float64), copies)], k),
        )
    ]
    if count == 1:

        def proven() -> Spectrum | None:
            proof = from_matrix(blocks[0].to(torch.float64), k)
            return combined([(proof, copies)], k, (p * copies, q * copies))

        flops = 2.0 * long * short**2 + short**3 + SOLVES * short**2
        found.append(Way(flops=flops, entries=max(3 * short**2, p * q), run=proven))
    return found
