"""The statistics of verification: pure functions on arrays of log harm.

Within one base, harmless inputs and controls are exchangeable for a model that has nothing to
do with the source, up to a margin: an independent model's harm ratio does not fall below m₀.
So the test shifts the log harm of the harmless inputs by −log m₀ and asks how many ways of
dealing out the labels "harmless" and "control" within the bases give a sum as small as the one
seen. All of them are counted, none is sampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = [
    "Estimate",
    "discordance_test",
    "estimate_ratio",
    "holm",
    "holm_steps",
    "least_p_value",
    "odds_of_margin",
    "permutation_test",
]

Array = NDArray[np.float64]

_RESOLUTION = 1e-3
"""Step to which log harm is rounded before counting: 0.1 % of a ratio. The test is exact for
the rounded values, which is all exchangeability asks for."""


@dataclass(frozen=True)
class Estimate:
    """A geometric mean harm ratio.

    Attributes:
        ratio: The estimate.
        low: Lower end of its confidence interval.
        high: Upper end.
    """

    ratio: float
    low: float
    high: float


def estimate_ratio(
    harmless: Sequence[Array], controls: Sequence[Array], *, level: float = 0.95
) -> Estimate:
    """Estimates the geometric mean harm ratio over bases, with a confidence interval.

    The log ratio of a base is the mean log harm of its harmless inputs minus that of its
    controls; bases weigh by their harmless inputs. The interval is Welch's, with the variances
    within bases and Satterthwaite's degrees of freedom.

    Args:
        harmless: Log harm of the harmless inputs, one array of at least one value for each base.
        controls: Log harm of the controls, one array of at least two values for each base.
        level: Confidence level of the interval.

    Returns:
        The estimate; its interval is (0, inf) when most harmless inputs stand alone in their
        base, so that there is no variance to speak of.
    """
    total = sum(len(values) for values in harmless)
    centre = variance = freedom = 0.0
    spread_of = _pooled_variance(harmless), _pooled_variance(controls)
    for treated, control in zip(harmless, controls, strict=True):
        share = len(treated) / total
        centre += share * float(treated.mean() - control.mean())
        for values in (treated, control):
            if len(values) > 1:
                part = share**2 * float(values.var(ddof=1)) / len(values)
                freedom += part**2 / (len(values) - 1)
            else:
                # A single value shows no spread; it is taken to be that of the other bases.
                part = share**2 * (spread_of[0] if values is treated else spread_of[1])
            variance += part
    grouped = sum(len(values) for values in harmless if len(values) > 1)
    if 2 * grouped < total:
        return Estimate(math.exp(centre), 0.0, math.inf)
    if variance == 0.0:
        return Estimate(math.exp(centre), math.exp(centre), math.exp(centre))
    half = float(stats.t.ppf(0.5 + level / 2, variance**2 / freedom)) * math.sqrt(variance)
    return Estimate(math.exp(centre), _exp(centre - half), _exp(centre + half))


def permutation_test(harmless: Sequence[Array], controls: Sequence[Array], margin: float) -> float:
    """Exact stratified permutation p-value, one-sided: are harmless inputs less harmful?

    Args:
        harmless: Log harm of the harmless inputs, one array for each base.
        controls: Log harm of the controls, one array for each base.
        margin: m₀; the null hypothesis is that the harm ratio is at least this.

    Returns:
        Share of the ``prod_b C(h_b + k_b, h_b)`` relabellings with a sum of harmless log harm
        not above the observed one, the observed one included; in (0, 1].
    """
    counts = np.ones(1)
    observed = 0
    for treated, control in zip(harmless, controls, strict=True):
        pooled = np.concatenate([treated - math.log(margin), control])
        levels = np.round((pooled - pooled.min()) / _RESOLUTION).astype(np.int64)
        observed += int(levels[: len(treated)].sum())
        counts = _convolve(counts, _subset_sums(levels, len(treated)))
    return float(min(1.0, counts[: observed + 1].sum() / counts.sum()))


def discordance_test(harmless: Sequence[Array], controls: Sequence[Array], odds: float) -> float:
    """Exact p-value for label-only answers: do harmless inputs change the label less often?

    Args:
        harmless: 1 where the label changed, 0 where not, one array for each base.
        controls: The same for the controls.
        odds: The null hypothesis is that the odds of a change are at least this many times
            those of a control; see :func:`odds_of_margin`.

    Returns:
        The p-value of the exact stratified test of a common odds ratio of at least ``odds``:
        given the number of changes in each base, the number among the harmless inputs follows
        a noncentral hypergeometric law (Fisher), and the bases' counts add up.
    """
    law = np.ones(1)
    observed = 0
    for treated, control in zip(harmless, controls, strict=True):
        changed = round(float(treated.sum() + control.sum()))
        support = np.arange(len(treated) + 1)
        weight = np.array(
            [
                math.comb(len(treated), k) * math.comb(len(control), changed - k) * odds**k
                if 0 <= changed - k <= len(control)
                else 0.0
                for k in support
            ]
        )
        law = np.convolve(law, weight / weight.sum())
        observed += round(float(treated.sum()))
    return float(min(1.0, law[: observed + 1].sum()))


def odds_of_margin(controls: Sequence[Array], margin: float) -> float:
    """Turns a ratio of rates of label changes into a ratio of odds, at the controls' own rate.

    Where controls nearly always change the label, a rate of 0.8 times theirs is a small odds
    ratio. Half a change and half a non-change are added to the controls, which keeps the
    result positive.
    """
    changed = sum(float(values.sum()) for values in controls) + 0.5
    rate = changed / (sum(len(values) for values in controls) + 1.0)
    return margin * (1 - rate) / (1 - margin * rate)


def least_p_value(counts: Sequence[tuple[int, int]]) -> float:
    """The least p-value of :func:`permutation_test`, whatever is measured.

    Args:
        counts: How many harmless inputs and controls each base has.
    """
    return 1 / math.prod(math.comb(harmless + control, harmless) for harmless, control in counts)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction of a family of p-values, in the order given."""
    steps = holm_steps(p_values, len(p_values))
    return [
        min(1.0, max(least, factor * float(p_value)))
        for p_value, (factor, least) in zip(p_values, steps, strict=True)
    ]


def holm_steps(p_values: Sequence[float], family: int) -> list[tuple[int, float]]:
    """The steps of Holm's correction, for hypotheses that hold several p-values of their own.

    Args:
        p_values: The least p-value of each hypothesis.
        family: How many hypotheses there are, those included that nobody tested.

    Returns:
        For each, the factor that its p-values are multiplied by, and the corrected p-value of
        the step before, below which none of its own may fall.
    """
    steps = [(0, 0.0)] * len(p_values)
    running = 0.0
    for place, index in enumerate(np.argsort(p_values, kind="stable")):
        steps[int(index)] = (family - place, running)
        running = min(1.0, max(running, (family - place) * float(p_values[index])))
    return steps


def _pooled_variance(groups: Sequence[Array]) -> float:
    """Variance within groups, pooled over those with two values or more; 0 if there are none."""
    freedom = sum(len(values) - 1 for values in groups)
    squares = sum(float(values.var()) * len(values) for values in groups)
    return squares / freedom if freedom else 0.0


def _subset_sums(levels: NDArray[np.int64], size: int) -> Array:
    """Counts subsets of a given size by their sum: entry s is how many sum to s."""
    top = int(np.sort(levels)[::-1][:size].sum())
    table = np.zeros((size + 1, top + 1))
    table[0, 0] = 1.0
    for level in levels:
        for chosen in range(size, 0, -1):
            table[chosen, level:] += table[chosen - 1, : top + 1 - level]
    counts: Array = table[size]
    return counts


def _convolve(first: Array, second: Array) -> Array:
    """Convolves counts that are mostly zero, adding the non-negative terms directly.

    An FFT would leave rounding noise of the size of its largest entry in the far tail, which is
    where a p-value is read.
    """
    out = np.zeros(len(first) + len(second) - 1)
    second = second / second.sum()
    for index in np.flatnonzero(second):
        out[index : index + len(first)] += second[index] * first
    return out


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
