"""Exact tests against plain enumeration, intervals against SciPy, both against simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from fingerprint.evidence.statistics import (
    discordance_test,
    estimate_ratio,
    holm,
    permutation_test,
)

Levels = list[list[int]]
Array = NDArray[np.float64]

MARGINS = st.sampled_from([0.5, 0.75, 1.0])


@st.composite
def strata(draw: st.DrawFn, highest: int = 12, most_bases: int = 3) -> tuple[Levels, Levels]:
    """Integer levels of a few small bases, low numbers so that ties abound."""
    bases = draw(st.integers(1, most_bases))
    level = st.integers(0, highest)
    treated = [draw(st.lists(level, min_size=1, max_size=3)) for _ in range(bases)]
    control = [draw(st.lists(level, min_size=1, max_size=3)) for _ in range(bases)]
    return treated, control


def log_harm(levels: Levels, ratio: float = 1.0) -> list[Array]:
    """Log harm whose steps the test resolves exactly; ``ratio`` shifts it as a margin does."""
    return [0.001 * np.array(values, dtype=float) + math.log(ratio) for values in levels]


def enumerated(treated: Sequence[Iterable[float]], control: Sequence[Iterable[float]]) -> Array:
    """The sum of the first group under every relabelling within bases."""
    deals = [
        [sum(chosen) for chosen in itertools.combinations([*first, *second], len([*first]))]
        for first, second in zip(treated, control, strict=True)
    ]
    return np.array([sum(deal) for deal in itertools.product(*deals)])


@settings(max_examples=150, deadline=None)
@given(strata(), MARGINS)
def test_the_permutation_p_value_is_the_share_of_all_relabellings(
    groups: tuple[Levels, Levels], margin: float
) -> None:
    treated, control = groups
    sums = enumerated(treated, control)
    expected = np.mean(sums <= sum(map(sum, treated)))
    found = permutation_test(log_harm(treated, margin), log_harm(control), margin)
    assert found == pytest.approx(expected, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), MARGINS)
def test_rounding_log_harm_moves_the_p_value_no_further_than_it_moves_the_sum(
    seed: int, margin: float
) -> None:
    noise = np.random.default_rng(seed)
    treated = [noise.normal(0, 0.5, 3) for _ in range(3)]
    control = [noise.normal(0, 0.5, 2) for _ in range(3)]
    shifted = [values - math.log(margin) for values in treated]
    sums = enumerated(shifted, control)
    observed = sum(values.sum() for values in shifted)
    slack = 2 * 9 * 0.5e-3 + 1e-9  # nine values, each off by half a step, on both sides
    found = permutation_test(treated, control, margin)
    assert np.mean(sums <= observed - slack) - 1e-12 <= found
    assert found <= np.mean(sums <= observed + slack) + 1e-12


@pytest.mark.parametrize("counts", [[(4, 4)] * 6, [(1, 4), (3, 2)], [(2, 1)], [(5, 5), (1, 1)]])
def test_the_smallest_p_value_is_one_over_all_relabellings(counts: list[tuple[int, int]]) -> None:
    noise = np.random.default_rng(0)
    treated = [noise.normal(-9, 0.1, size) for size, _ in counts]
    control = [noise.normal(0, 0.1, size) for _, size in counts]
    relabellings = math.prod(math.comb(first + second, first) for first, second in counts)
    assert permutation_test(treated, control, 0.75) == pytest.approx(1 / relabellings, rel=1e-12)
    assert permutation_test(control, treated, 0.75) == pytest.approx(1.0, rel=1e-12)


def test_equal_values_give_no_evidence() -> None:
    same = [np.full(4, 0.3)] * 3
    assert permutation_test(same, same, 1.0) == 1.0


@settings(max_examples=60, deadline=None)
@given(
    strata(), MARGINS, st.lists(st.integers(-5000, 5000), min_size=3, max_size=3), st.randoms()
)  # fmt: skip
def test_the_permutation_test_ignores_order_and_the_level_of_each_base(
    groups: tuple[Levels, Levels], margin: float, offsets: list[int], rng: object
) -> None:
    treated, control = groups
    before = permutation_test(log_harm(treated, margin), log_harm(control), margin)
    moved = [
        ([a + offset for a in reversed(first)], [b + offset for b in reversed(second)])
        for first, second, offset in zip(treated, control, offsets, strict=False)
    ]
    rng.shuffle(moved)  # type: ignore[attr-defined]
    after = permutation_test(
        log_harm([first for first, _ in moved], margin),
        log_harm([second for _, second in moved]),
        margin,
    )
    assert after == pytest.approx(before, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(strata(), st.integers(1, 9))
def test_more_harm_or_a_stricter_margin_never_gives_a_smaller_p_value(
    groups: tuple[Levels, Levels], more: int
) -> None:
    treated, control = log_harm(groups[0]), log_harm(groups[1])
    before = permutation_test(treated, control, 1.0)
    raised = [treated[0] + 0.001 * more, *treated[1:]]
    assert permutation_test(raised, control, 1.0) >= before - 1e-12
    assert permutation_test(treated, control, 0.5) >= before - 1e-12


def simulated_p_values(ratio: float, margin: float, count: int = 3000) -> Array:
    """P-values of a suspect of a true harm ratio, whose bases differ in level and spread."""
    noise = np.random.default_rng(5)
    p_values = []
    for _ in range(count):
        spread = [0.2, 0.5, 1.0]
        level = noise.normal(0, 2, 3)
        treated = list(noise.gumbel(level + math.log(ratio), spread, (3, 3)).T)
        control = list(noise.gumbel(level, spread, (3, 3)).T)
        p_values.append(permutation_test(treated, control, margin))
    return np.array(p_values)


def monte_carlo_error(alpha: float, count: int = 3000) -> float:
    return 4 * math.sqrt(alpha * (1 - alpha) / count)


def test_the_permutation_test_is_exact_at_the_margin() -> None:
    p_values = simulated_p_values(ratio=0.75, margin=0.75)
    for alpha in (0.01, 0.05, 0.2, 0.5, 0.8):
        share = np.mean(p_values <= alpha)
        assert abs(share - alpha) <= monte_carlo_error(alpha) + 0.005  # rounded sums may tie


def test_the_permutation_test_is_conservative_above_the_margin_and_powerful_below() -> None:
    above = simulated_p_values(ratio=1.0, margin=0.75, count=1000)
    below = simulated_p_values(ratio=0.1, margin=0.75, count=300)
    for alpha in (0.01, 0.05, 0.2):
        assert np.mean(above <= alpha) < alpha
    assert np.mean(below <= 0.01) > 0.8


@pytest.mark.parametrize(("treated", "control"), [(4, 4), (2, 7), (9, 3), (5, 2)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_with_one_base_the_interval_is_welch_s(treated: int, control: int, level: float) -> None:
    noise = np.random.default_rng(treated)
    first, second = noise.normal(-1, 0.3, treated), noise.normal(0, 0.9, control)
    judge = stats.ttest_ind(first, second, equal_var=False).confidence_interval(level)
    found = estimate_ratio([first], [second], level=level)
    assert math.log(found.ratio) == pytest.approx(first.mean() - second.mean(), rel=1e-12)
    assert math.log(found.low) == pytest.approx(judge.low, rel=1e-9)
    assert math.log(found.high) == pytest.approx(judge.high, rel=1e-9)


def test_bases_weigh_by_their_harmless_inputs() -> None:
    harmless = [np.log([0.1, 0.1, 0.1]), np.log([0.9])]
    controls = [np.zeros(2), np.zeros(2)]
    found = estimate_ratio(harmless, controls).ratio
    assert found == pytest.approx(math.exp((3 * math.log(0.1) + math.log(0.9)) / 4))


def test_the_level_of_a_base_cancels() -> None:
    noise = np.random.default_rng(0)
    harmless = [noise.normal(-1, 0.3, 4) for _ in range(3)]
    controls = [noise.normal(0, 0.3, 4) for _ in range(3)]
    plain = estimate_ratio(harmless, controls)
    moved = estimate_ratio(
        [values + 7 * base for base, values in enumerate(harmless)],
        [values + 7 * base for base, values in enumerate(controls)],
    )
    assert (moved.ratio, moved.low, moved.high) == pytest.approx(
        (plain.ratio, plain.low, plain.high)
    )


def coverage(sizes: Sequence[tuple[int, int]], count: int = 1500) -> float:
    """How often the 95 % interval holds the true ratio."""
    noise = np.random.default_rng(2)
    hits = 0
    for _ in range(count):
        level = noise.normal(0, 1, len(sizes))
        harmless = [noise.normal(c - 0.3, 0.4, h) for c, (h, _) in zip(level, sizes, strict=True)]
        controls = [noise.normal(c, 0.6, k) for c, (_, k) in zip(level, sizes, strict=True)]
        found = estimate_ratio(harmless, controls)
        hits += found.low <= math.exp(-0.3) <= found.high
    return hits / count


@pytest.mark.parametrize(
    "sizes", [[(4, 4)] * 6, [(4, 4)] * 2, [(3, 4)] * 4, [(2, 4), (4, 4), (4, 2)]], ids=str
)
def test_the_interval_covers_the_true_ratio_as_often_as_it_says(
    sizes: list[tuple[int, int]],
) -> None:
    error = 4 * math.sqrt(0.95 * 0.05 / 1500)
    assert 0.95 - error <= coverage(sizes) <= 0.95 + error + 0.02  # Satterthwaite is cautious


def test_the_interval_covers_when_some_bases_hold_one_value() -> None:
    assert coverage([(3, 3), *[(1, 1)] * 5]) >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 1500)


def test_without_any_spread_to_be_had_the_interval_is_everything() -> None:
    found = estimate_ratio([np.log([0.5]), np.log([0.5])], [np.zeros(3), np.zeros(3)])
    assert found.ratio == pytest.approx(0.5)
    assert (found.low, found.high) == (0.0, math.inf)


@st.composite
def labels(draw: st.DrawFn) -> tuple[Levels, Levels]:
    return draw(strata(highest=1))


def floats(groups: Levels) -> list[Array]:
    return [np.array(values, dtype=float) for values in groups]


def counted_p_value(treated: Levels, control: Levels, odds: Fraction) -> Fraction:
    """The conditional law by weighing every relabelling with odds to the changes it moves."""
    total = below = Fraction(0)
    observed = sum(map(sum, treated))
    for changes in enumerated(treated, control):
        weight = odds ** int(changes)
        total += weight
        below += weight if changes <= observed else 0
    return below / total


@settings(max_examples=150, deadline=None)
@given(labels(), st.sampled_from([Fraction(1, 2), Fraction(3, 4), Fraction(1)]))
def test_the_discordance_p_value_is_a_weighted_count_of_all_relabellings(
    groups: tuple[Levels, Levels], odds: Fraction
) -> None:
    treated, control = groups
    expected = float(counted_p_value(treated, control, odds))
    found = discordance_test(floats(treated), floats(control), float(odds))
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("margin", [0.5, 0.75, 1.0])
@pytest.mark.parametrize(("h", "k", "a", "b"), [(4, 4, 0, 4), (4, 4, 2, 3), (9, 6, 3, 5)])
def test_with_one_base_discordance_is_fisher_s_law(
    h: int, k: int, a: int, b: int, margin: float
) -> None:
    treated = np.repeat([1.0, 0.0], [a, h - a])
    control = np.repeat([1.0, 0.0], [b, k - b])
    found = discordance_test([treated], [control], margin)
    law = stats.nchypergeom_fisher(h + k, h, a + b, margin)
    assert found == pytest.approx(sum(law.pmf(value) for value in range(a + 1)), rel=1e-9)
    if margin == 1.0:
        table = [[a, h - a], [b, k - b]]
        assert found == pytest.approx(stats.fisher_exact(table, alternative="less").pvalue)


def test_two_bases_discordance_is_the_convolution_of_their_laws() -> None:
    first, second = stats.nchypergeom_fisher(8, 4, 5, 0.75), stats.nchypergeom_fisher(7, 3, 4, 0.75)
    expected = sum(
        first.pmf(i) * second.pmf(j) for i in range(5) for j in range(4) if i + j <= 1 + 1
    )
    treated = [np.array([1.0, 0, 0, 0]), np.array([0.0, 1, 0])]
    control = [np.ones(4), np.array([1.0, 1, 1, 0])]
    assert discordance_test(treated, control, 0.75) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_labels_that_always_or_never_change_give_no_evidence(value: float) -> None:
    same = [np.full(4, value)] * 6
    assert discordance_test(same, same, 0.75) == pytest.approx(1.0)


def test_discordance_holds_its_level_when_the_odds_ratio_is_the_margin() -> None:
    noise = np.random.default_rng(3)
    rates = np.array([0.3, 0.6, 0.9])
    shifted = 0.75 * rates / (1 - rates + 0.75 * rates)
    p_values = []
    for _ in range(2000):
        treated = [(noise.random(4) < rate).astype(float) for rate in shifted]
        control = [(noise.random(4) < rate).astype(float) for rate in rates]
        p_values.append(discordance_test(treated, control, 0.75))
    for alpha in (0.01, 0.05, 0.2):
        assert np.mean(np.array(p_values) <= alpha) <= alpha + monte_carlo_error(alpha, 2000)


def holm_by_rejection(p_values: Sequence[float], index: int) -> float:
    """The smallest level at which the step-down procedure rejects one hypothesis."""
    count = len(p_values)
    for level in sorted({min(1.0, factor * p) for factor in range(1, count + 1) for p in p_values}):
        order = sorted(range(len(p_values)), key=p_values.__getitem__)
        for place, which in enumerate(order):
            if (count - place) * p_values[which] > level:
                break
            if which == index:
                return level
    return 1.0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.0001, 0.004, 0.01, 0.02, 0.02, 0.3, 0.9, 1.0]), max_size=6))
def test_holm_gives_the_level_at_which_the_step_down_procedure_rejects(
    p_values: list[float],
) -> None:
    expected = [holm_by_rejection(p_values, index) for index in range(len(p_values))]
    assert holm(p_values) == pytest.approx(expected, rel=1e-12)


def test_holm_on_an_example_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@pytest.mark.parametrize("test", [permutation_test, discordance_test])
def test_p_values_never_leave_zero_to_one(
    test: Callable[[list[Array], list[Array], float], float],
) -> None:
    noise = np.random.default_rng(1)
    for _ in range(50):
        groups = [[noise.integers(0, 2, 4).astype(float) for _ in range(6)] for _ in range(2)]
        assert 0.0 < test(groups[0], groups[1], 0.75) <= 1.0
