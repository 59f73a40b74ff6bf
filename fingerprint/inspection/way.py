"""One way to the spectrum of a layer, and what it would cost: an estimate from shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fingerprint.inspection.spectrum import Spectrum

__all__ = ["SOLVES", "Way", "decomposition_flops"]

SOLVES = 400.0
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


def decomposition_flops(m: int, n: int) -> float:
    """Returns the operations of finding all singular values of a matrix."""
    short, long = sorted((m, n))
    return 2.0 * long * short**2 + _SVD * short**3
