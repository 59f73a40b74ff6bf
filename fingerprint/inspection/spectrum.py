"""The rank and the smallest singular values of a layer, put together from its blocks.

A layer that is block diagonal has the singular values of all its blocks together, those of a
block that stands at several places as often.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fingerprint.operators.pooling import Pooling
from fingerprint.spaces.inverse import FullRank
from fingerprint.spaces.rank import numerical_rank, singular_value_cutoff

__all__ = ["Spectrum", "combined", "decomposed", "kronecker"]

Value = tuple[float, int]
"""A singular value, and how often the block it belongs to occurs."""


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """What was found of a layer's singular values.

    Attributes:
        rank: How many differ from zero.
        values: The smallest of those, in rising order, each with how often it occurs.
        note: How they were found, or why some were not; one line.
    """

    rank: int
    values: tuple[Value, ...] = ()
    note: str = ""

    def repeated(self, times: int) -> Spectrum:
        """Returns the spectrum of the layer at so many places."""
        values = tuple((value, count * times) for value, count in self.values)
        return replace(self, rank=self.rank * times, values=values)


def decomposed(blocks: Iterable[tuple[Tensor, int]], k: int, *, exact: bool = False) -> Spectrum:
    """Decomposes matrices.

    Args:
        blocks: Matrices ``(b, p, q)``, float64, with how often each occurs.
        k: How many of the smallest singular values to return.
        exact: Whether any value but 0 counts as different from zero, as in a diagonal, which
            has no rounding.
    """
    found = [
        (
            torch.linalg.svdvals(matrices)
            if matrices[0].numel() > 1
            else matrices.abs().flatten(1),
            (matrices.shape[1], matrices.shape[2]),
            copies,
        )
        for matrices, copies in blocks
    ]
    largest = max((float(values.max()) for values, _, _ in found if values.numel()), default=0.0)
    rank = 0
    smallest: list[Value] = []
    for values, shape, copies in found:
        if exact:
            kept = values[values > 0]
        else:
            kept = values[values > singular_value_cutoff(largest, shape, torch.float64)]
            assert len(kept) == numerical_rank(values, shape, torch.float64, largest=largest)
        rank += kept.numel() * copies
        smallest += [(float(value), copies) for value in kept.sort().values[:k]]
    return Spectrum(rank=rank, values=tuple(sorted(smallest)[:k]))


def kronecker(operator: Pooling, k: int) -> Spectrum:
    """Decomposes a layer that acts on each axis by itself: singular values are products."""
    values = torch.ones(1, dtype=torch.float64)
    for factor in operator.factors:
        own = torch.linalg.svdvals(factor.to("cpu", torch.float64))
        own = own[: numerical_rank(own, (factor.shape[0], factor.shape[1]), torch.float64)]
        values = (values[:, None] * own).reshape(-1)
    lead = operator.m
    for factor in operator.factors:
        lead //= factor.shape[0]
    smallest = tuple((float(value), lead) for value in values.sort().values[:k])
    return Spectrum(rank=values.numel() * lead, values=smallest)


def combined(
    proofs: Sequence[tuple[FullRank | None, int]], k: int, shape: tuple[int, int]
) -> Spectrum | None:
    """Joins proofs of full rank of the blocks of a layer.

    Args:
        proofs: For each kind of block its proof, and how often it occurs.
        k: How many of the smallest singular values to return.
        shape: ``(m, n)`` of the layer, whose largest singular value sets the cutoff.

    Returns:
        The spectrum; None where a proof is missing, or a block is so weak beside the strongest
        that its singular values might count as zero.
    """
    known = [(proof, copies) for proof, copies in proofs if proof is not None]
    if len(known) < len(proofs):
        return None
    largest = max((proof.largest for proof, _ in known), default=0.0)
    cutoff = singular_value_cutoff(largest, shape, torch.float64)
    if any(proof.proven <= cutoff for proof, _ in known):
        return None
    rank = sum(proof.rank * copies for proof, copies in known)
    if k and any(not proof.values for proof, _ in known):
        return Spectrum(rank=rank, note="singular values not computed: the iteration gave up")
    values = [(value, copies) for proof, copies in known for value in proof.values]
    return Spectrum(rank=rank, values=tuple(sorted(values)[:k]))
