"""The statistics of probes and their turns: pure functions on arrays of log harm.

A probe and its k turns are one orbit. Whoever has nothing to do with the source answers them alike,
up to a margin: a stranger's harm ratio does not fall below m₀. So the test shifts the log harm of
the probes by −log m₀ and asks how many ways of putting the label "probe" on a member of each orbit
give a sum as small as the one seen. All of them are counted, none is sampled.

A candidate has probes of several depths and one statistic: the smallest over depths of the
standardised sum. Standardised by the swaps' own deviation, depths of different spread compare; and
as their probes are different ones, they are independent under the swaps, so the law of the smallest
is a product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fingerprint.evidence.statistics import Estimate, discordance_test, odds_of_margin

__all__ = [
    "OrbitTest",
    "labels_test",
    "least_joint",
    "over_depths",
    "over_separate_depths",
    "ratio_of",
    "swap_test",
]

Array = NDArray[np.float64]

_STEPS = 400
"""Steps to which the spread within an orbit is resolved before counting, on average. The test is
exact for the rounded values, which is all exchangeability asks for."""


_NOISE = 1e-12
"""Spread, relative to the largest logarithm, that is rounding and no difference within orbits."""


@dataclass(frozen=True, eq=False)
class OrbitTest:
    """The exact law of one depth's standardised sum under swaps, and what was seen.

    Attributes:
        z: The observed sum over its deviation under swaps; 0 where nothing varies.
        values: Every value the standardised sum can take, ascending.
        below: Share of the relabellings with a sum of at most that value.
    """

    z: float
    values: Array
    below: Array

    def at_most(self, z: float) -> float:
        """Returns the probability of a standardised sum of at most ``z``."""
        place = int(np.searchsorted(self.values, z + 1e-9, side="right"))
        return float(self.below[place - 1]) if place else 0.0

    @property
    def p_value(self) -> float:
        """Of this depth alone."""
        return self.at_most(self.z)


def swap_test(logs: Array, margin: float) -> OrbitTest:
    """Tests whether probes do less harm than their turns, by all swaps within orbits.

    Args:
        logs: Log harm, shape ``(n, k + 1)``: of each probe, then of its turns.
        margin: m₀; the null hypothesis is that the harm ratio is at least this.
    """
    shifted = np.array(logs, dtype=np.float64)
    shifted[:, 0] -= math.log(margin)
    deviations = shifted - shifted.mean(axis=1, keepdims=True)
    spread = math.sqrt(float((deviations**2).mean(axis=1).sum()))
    if spread <= _NOISE * max(1.0, float(np.abs(shifted).max())):
        return OrbitTest(0.0, np.zeros(1), np.ones(1))
    step = spread / (_STEPS * math.sqrt(len(logs)))
    levels = np.round(deviations / step).astype(np.int64)
    least = levels.min(axis=1)
    law = np.ones(1)
    for row, low in zip(levels, least, strict=True):
        counts = np.bincount(row - low)
        out = np.zeros(len(law) + len(counts) - 1)
        for place in np.flatnonzero(counts):
            out[place : place + len(law)] += counts[place] / len(row) * law
        law = out
    sums = np.flatnonzero(law)
    values = (sums + least.sum()) * (step / spread)
    z = float(levels[:, 0].sum()) * (step / spread)
    return OrbitTest(z, values, np.minimum(1.0, np.cumsum(law[sums])))


def over_depths(tests: Sequence[OrbitTest]) -> list[float]:
    """Returns each depth's p-value corrected over all of them, exactly.

    It is the probability, under swaps in all depths at once, that the smallest standardised sum is
    at most this depth's.
    """
    return [_joint([other.at_most(test.z) for other in tests]) for test in tests]


def least_joint(shapes: Sequence[tuple[int, int]]) -> float:
    """About the least p-value of :func:`over_depths`: what a perfect copy gets at best.

    Args:
        shapes: Of each depth, how many orbits it has and how many turns each of them.

    Returns:
        That of the depth that can show most, where all others reach as low a sum by chance as
        often as they can.
    """
    best = min((k + 1.0) ** -n for n, k in shapes)
    return _joint([min(best, 1.0) for _ in shapes])


def labels_test(changed: NDArray[np.bool_], margin: float) -> float:
    """Exact p-value of one depth for answers that are labels, each orbit a stratum.

    Args:
        changed: Whether the label changed, shape ``(n, k + 1)``: of each probe, then its turns.
        margin: m₀, of the ratio of rates.
    """
    treated = [row[:1].astype(float) for row in changed]
    controls = [row[1:].astype(float) for row in changed]
    return discordance_test(treated, controls, odds_of_margin(controls, margin))


def over_separate_depths(p_values: Sequence[float]) -> list[float]:
    """Returns p-values of different depths corrected over all of them, each by itself.

    Different depths have different probes, so under the null hypothesis their p-values are
    independent, and each is at most uniform: Šidák's correction holds.
    """
    return [_joint([p_value] * len(p_values)) for p_value in p_values]


def ratio_of(differences: Array, rows: Sequence[int], *, level: float = 0.95) -> Estimate:
    """Estimates the geometric mean harm ratio, with a confidence interval.

    Args:
        differences: Log harm of each probe less the mean of its turns', shape ``(n,)``.
        rows: Which base each probe has. Probes of one base are averaged: bases are the units.
        level: Confidence level of Student's interval.

    Returns:
        The estimate; its interval is (0, inf) where there is only one base.
    """
    bases = np.asarray(rows)
    units = np.array([differences[bases == base].mean() for base in sorted(set(bases.tolist()))])
    centre = float(units.mean())
    if len(units) < 2:
        return Estimate(math.exp(centre), 0.0, math.inf)
    half = float(stats.t.ppf(0.5 + level / 2, len(units) - 1)) * float(
        units.std(ddof=1) / math.sqrt(len(units))
    )
    return Estimate(
        math.exp(centre), math.exp(max(-700.0, centre - half)), math.exp(min(700.0, centre + half))
    )


def _joint(probabilities: Sequence[float]) -> float:
    """The probability that any of independent events happens; sums where they are tiny."""
    none = sum(math.log1p(-min(p, 1.0)) if p < 1.0 else -math.inf for p in probabilities)
    return -math.expm1(none)
