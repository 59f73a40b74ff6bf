"""Whether p-values of independent pairs, and the margins they rest on, keep what they promise.

A p-value is honest if, among independent pairs, P(p <= t) <= t for every t. Pairs that share a
network are dependent, which widens the true uncertainty beyond every band and bound given here;
the band for independent pairs is the stricter one to stay within.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.detection.metrics import upper_bound

__all__ = ["LEVELS", "Uniformity", "dkw_band", "held_out_undercuts", "uniformity"]

Array = NDArray[np.float64]
LEVELS = (0.001, 0.01, 0.05, 0.1)


def dkw_band(count: int, confidence: float = 0.95) -> float:
    """Computes half the width of the simultaneous band round an empirical CDF.

    Dvoretzky, Kiefer and Wolfowitz with Massart's constant: the true CDF is within it everywhere
    at once. 1 for no observations.
    """
    return min(1.0, math.sqrt(math.log(2 / (1 - confidence)) / (2 * count))) if count else 1.0


@dataclass(frozen=True)
class Uniformity:
    """Whether p-values of independent pairs are as large as they should be.

    Attributes:
        p_values: Sorted, shape ``(n,)``.
        band: Half-width of the simultaneous band.
        levels: Levels t asked about.
        counts: How many p-values are at most t.
        shares: Their share; 0 for no p-values.
        upper: Exact upper bound of P(p <= t) at each level.
        tails: Chance of as many or more p-values below t if they were uniform: the exact
            binomial test, far sharper than the band where t is small.
    """

    p_values: Array
    band: float
    levels: tuple[float, ...]
    counts: tuple[int, ...]
    shares: tuple[float, ...]
    upper: tuple[float, ...]
    tails: tuple[float, ...]


def uniformity(
    p_values: Sequence[float | None],
    levels: Sequence[float] = LEVELS,
    confidence: float = 0.95,
) -> Uniformity:
    """Compares the p-values of independent pairs with the uniform distribution.

    Args:
        p_values: One a pair; None or NaN where the test could not be made.
        levels: At which to ask whether P(p <= t) <= t.
        confidence: Of the band and of each upper bound.
    """
    values = np.sort([p for p in p_values if p is not None and not math.isnan(p)]).astype(float)
    count = len(values)
    below = [int(np.searchsorted(values, level, side="right")) for level in levels]
    shares = [hits / count if count else 0.0 for hits in below]
    return Uniformity(
        p_values=values,
        band=dkw_band(count, confidence),
        levels=tuple(levels),
        counts=tuple(below),
        shares=tuple(shares),
        upper=tuple(upper_bound(hits, count, confidence) for hits in below),
        tails=tuple(
            float(stats.binom.sf(hits - 1, count, level))
            for hits, level in zip(below, levels, strict=True)
        ),
    )


def held_out_undercuts(ratios: Sequence[float], groups: Sequence[str]) -> tuple[int, int]:
    """Counts ratios below the smallest ratio of all *other* groups.

    A margin taken from the pairs of the other sources meets a source it has not seen. By the
    conformal argument a new exchangeable pair undercuts the smallest of n with probability
    1 / (n + 1).

    Returns:
        How many undercut it, and how many could be asked; a single group cannot.
    """
    values, names = np.asarray(ratios, dtype=float), np.asarray(groups, dtype=object)
    below = asked = 0
    for name in sorted(set(groups)):
        mine = names == name
        if mine.all():
            return 0, 0
        below += int((values[mine] < values[~mine].min()).sum())
        asked += int(mine.sum())
    return below, asked
