"""The detection benchmark's metrics, judged by scikit-learn, SciPy and plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from benchmarks.detection import metrics
from benchmarks.detection.pvalues import dkw_band, held_out_undercuts, uniformity


def _scores(seed, related=40, independent=120, ties=False):
    generator = np.random.default_rng(seed)
    high = generator.normal(1.5, 1.0, related)
    low = generator.normal(0.0, 1.0, independent)
    return (high.round(0), low.round(0)) if ties else (high, low)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_auc_is_that_of_scikit_learn(seed, ties):
    related, independent = _scores(seed, ties=ties)
    labels = np.r_[np.ones(len(related)), np.zeros(len(independent))]
    judge = roc_auc_score(labels, np.r_[related, independent])
    assert metrics.auc(related, independent) == pytest.approx(judge, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("independent", [30, 100, 137])
def test_the_detection_rate_is_the_best_point_of_the_roc_curve(independent, rate, ties):
    related, others = _scores(7, independent=independent, ties=ties)
    labels = np.r_[np.ones(len(related)), np.zeros(len(others))]
    fpr, tpr, _ = roc_curve(labels, np.r_[related, others], drop_intermediate=False)
    judge = tpr[fpr <= rate + 1e-12].max()
    found = metrics.detection_rate(related, others, rate)
    assert found.value == pytest.approx(judge)
    assert (others > metrics.threshold(others, rate)).mean() <= rate


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (3, 10), (10, 10), (5, 317)])
def test_the_exact_interval_is_that_of_scipy(hits, total):
    judge = stats.binomtest(hits, total).proportion_ci(0.95, method="exact")
    assert metrics.clopper_pearson(hits, total) == pytest.approx((judge.low, judge.high))
    above = stats.binomtest(hits, total, alternative="less").proportion_ci(0.95, method="exact")
    assert metrics.upper_bound(hits, total) == pytest.approx(above.high)


def test_no_false_positive_in_n_is_bounded_by_the_rule_of_three():
    assert metrics.upper_bound(0, 300) == pytest.approx(3 / 300, rel=0.01)


def test_a_related_pair_without_an_answer_counts_as_not_found_and_an_independent_one_not_at_all():
    scores = [5.0, None, math.nan, 1.0, None, 2.0]
    parts = metrics.split(scores, [True, True, True, False, False, False])
    assert parts.related.tolist() == [5.0, -math.inf, -math.inf]
    assert parts.independent.tolist() == [1.0, 2.0]
    assert (parts.unanswered, parts.excluded) == (2, 1)
    assert metrics.auc(parts.related, parts.independent) == pytest.approx(1 / 3)
    assert metrics.detection_rate(parts.related, parts.independent, 0.05).hits == 1


def test_nothing_measured_claims_nothing():
    empty, some = np.array([]), np.array([1.0, 2.0])
    for related, independent in ((empty, some), (some, empty), (empty, empty)):
        for found in (
            metrics.auc_estimate(related, independent),
            metrics.detection_rate(related, independent, 0.01),
        ):
            assert (found.value, found.low, found.high) == (None, 0.0, 1.0)
    assert metrics.clopper_pearson(0, 0) == (0.0, 1.0)
    assert metrics.upper_bound(0, 0) == 1.0
    assert metrics.threshold(empty, 0.01) is None
    assert metrics.clustered_counts([], []) == (0, 0)
    assert held_out_undercuts([], []) == (0, 0)
    nothing = uniformity([None, None])
    assert (len(nothing.p_values), nothing.band, nothing.upper) == (0, 1.0, (1.0,) * 4)


def test_perfect_separation_still_has_an_uncertainty():
    related, independent = np.full(20, 2.0), np.zeros(100)
    weights = np.ones((50, 20)), np.ones((50, 100))
    assert metrics.detection_rate(related, independent, 0.01, weights).low < 0.9
    estimate = metrics.auc_estimate(related, independent, weights)
    assert 0.8 < estimate.low < 0.99
    assert estimate.high == 1.0


def test_weighting_a_pair_twice_is_repeating_it():
    related, independent = _scores(3, ties=True)
    generator = np.random.default_rng(0)
    counts = generator.integers(0, 3, len(related)), generator.integers(0, 3, len(independent))
    weights = tuple(count[None].astype(float) for count in counts)
    repeated = np.repeat(related, counts[0]), np.repeat(independent, counts[1])
    auc = metrics._weighted_auc(related, independent, *weights)[0]
    assert auc == pytest.approx(metrics.auc(*repeated))
    for rate in (0.01, 0.05, 0.2):
        limit = metrics._thresholds(independent, weights[1], rate)[0]
        assert limit == metrics.threshold(repeated[1], rate)


def test_a_pair_counts_as_often_as_both_its_networks_were_drawn():
    parts = metrics.split([1.0, 0.0, 0.0, 0.5], [True, False, False, False])
    sources, bases = ["a", "a", "b", "b"], ["a", "x", "x", "y"]
    related, independent = metrics.pair_weights(parts, sources, bases, repeats=500)
    a, b = related[:, 0], 2 - related[:, 0]
    drawn = b > 0
    x, y = independent[drawn, 1] / b[drawn], independent[drawn, 2] / b[drawn]
    assert (x + y == 2).all()
    assert (independent[drawn, 0] == a[drawn] * x).all()
    again = metrics.pair_weights(parts, sources, bases, repeats=500)[1]
    assert (again == independent).all()


def test_networks_that_differ_widen_the_interval_beyond_that_of_independent_pairs():
    generator = np.random.default_rng(1)
    sources = [f"s{at // 20}" for at in range(160)]
    found = np.repeat(generator.random(8) < 0.5, 20).astype(float)
    scores = [*found, *np.full(200, 0.5)]
    names = [*sources, *(f"s{at % 8}" for at in range(200))]
    bases = [*sources, *(f"b{at % 10}" for at in range(200))]
    parts = metrics.split(scores, [True] * 160 + [False] * 200)
    weights = metrics.pair_weights(parts, names, bases, repeats=500)
    plain = metrics.detection_rate(parts.related, parts.independent, 0.05)
    clustered = metrics.detection_rate(parts.related, parts.independent, 0.05, weights)
    assert clustered.high - clustered.low > 2 * (plain.high - plain.low)


def test_the_auc_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(5)
    truth = stats.norm.cdf(1.5 / math.sqrt(2))
    covered = 0
    for _ in range(300):
        estimate = metrics.auc_estimate(generator.normal(1.5, 1, 25), generator.normal(0, 1, 60))
        covered += estimate.low <= truth <= estimate.high
    assert 0.91 <= covered / 300 <= 0.99


def test_a_cluster_with_one_wrong_pair_is_one_wrong_trial():
    wrong = [True, True, False, False]
    assert metrics.clustered_counts(wrong, ["ab", "ab", "ab", "ac"]) == (1, 2)


def test_p_values_that_are_too_small_show_at_every_level():
    uniform = np.random.default_rng(2).random(400)
    assert min(uniformity(uniform).tails) > 0.01
    assert uniformity(uniform**2).tails[1] < 1e-6


def test_the_band_holds_everywhere_at_once_as_often_as_it_says():
    generator = np.random.default_rng(4)
    band = dkw_band(60)
    inside = [stats.kstest(generator.random(60), "uniform").statistic <= band for _ in range(400)]
    assert np.mean(inside) >= 0.93


def test_shares_at_the_levels_are_counted_with_their_own_exact_bounds():
    found = uniformity([0.0005, 0.02, 0.02, 0.5, None], levels=(0.001, 0.02))
    assert found.counts == (1, 3)
    assert found.shares == (0.25, 0.75)
    assert found.upper[0] == pytest.approx(metrics.upper_bound(1, 4))
    judge = stats.binomtest(3, 4, 0.02, alternative="greater").pvalue
    assert found.tails[1] == pytest.approx(judge)


def test_a_margin_from_the_other_sources_is_undercut_by_what_lies_below_them_all():
    ratios, groups = [0.9, 0.7, 0.8, 0.95], ["a", "a", "b", "b"]
    assert held_out_undercuts(ratios, groups) == (1, 4)
    assert held_out_undercuts([0.9, 0.8], ["a", "a"]) == (0, 0)
