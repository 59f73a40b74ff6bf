"""The tests of orbits are exact: they are compared with counting all relabellings by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint.evidence.orbits import (
    labels_test,
    least_joint,
    over_depths,
    over_separate_depths,
    ratio_of,
    swap_test,
)

Array = NDArray[np.float64]


def logs_of(seed: int, orbits: int, turns: int, shift: float = -1.0) -> Array:
    logs: Array = np.random.default_rng(seed).normal(size=(orbits, turns + 1))
    logs[:, 0] += shift
    return logs


def sums(logs: Array, margin: float) -> tuple[Array, float]:
    """Every standardised sum that a relabelling gives, and the observed one."""
    shifted = logs.copy()
    shifted[:, 0] -= math.log(margin)
    centred = shifted - shifted.mean(axis=1, keepdims=True)
    spread = math.sqrt(float((centred**2).mean(axis=1).sum()))
    places = itertools.product(range(logs.shape[1]), repeat=len(logs))
    every = np.array(
        [sum(row[place] for row, place in zip(centred, one, strict=True)) for one in places]
    )
    return every / spread, float(centred[:, 0].sum()) / spread


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("margin", [1.0, 0.5])
def test_a_depth_is_tested_by_all_its_relabellings(seed: int, margin: float) -> None:
    logs = logs_of(seed, 5, 2)
    every, seen = sums(logs, margin)
    test = swap_test(logs, margin)
    assert test.z == pytest.approx(seen, abs=0.01)
    # Values that differ by less than a step may be counted as equal.
    least, most = ((every <= seen + step).mean() for step in (-0.02, 0.02))
    assert least - 1e-9 <= test.p_value <= most + 1e-9


def test_the_smallest_over_depths_is_tested_by_swaps_in_all_at_once() -> None:
    parts = [logs_of(1, 4, 2, -0.7), logs_of(2, 3, 3, -0.5)]
    tests = [swap_test(logs, 1.0) for logs in parts]
    (first, _), (second, _) = (sums(logs, 1.0) for logs in parts)
    smallest = np.minimum(first[:, None], second[None, :])
    for test, joint in zip(tests, over_depths(tests), strict=True):
        least, most = ((smallest <= test.z + step).mean() for step in (-0.02, 0.02))
        assert least - 1e-9 <= joint <= most + 1e-9


def test_the_level_holds_whatever_the_numbers_are() -> None:
    """Each relabelling of one array gives a p-value; at most a share α of them is at most α."""
    logs = logs_of(7, 4, 2)
    found = []
    for places in itertools.product(range(3), repeat=4):
        swapped = np.stack([np.roll(row, -place) for row, place in zip(logs, places, strict=True)])
        found.append(swap_test(swapped, 1.0).p_value)
    for level in (0.02, 0.05, 0.2, 0.5):
        assert np.mean(np.array(found) <= level) <= level + 1e-12


def test_it_does_not_depend_on_the_scale_of_harm() -> None:
    logs = logs_of(3, 6, 3)
    offset = np.arange(6)[:, None] * 5.0
    assert swap_test(logs + offset, 0.7).p_value == pytest.approx(swap_test(logs, 0.7).p_value)


def test_orbits_that_do_not_vary_show_nothing() -> None:
    for value in (0.0, 0.1, -30.0):
        test = swap_test(np.full((6, 3), value), 1.0)
        assert (test.z, test.p_value) == (0.0, 1.0)


def test_the_least_p_value_is_what_a_perfect_source_gets() -> None:
    perfect = np.zeros((4, 4))
    perfect[:, 0] = -50.0
    tests = [swap_test(perfect, 1.0), swap_test(logs_of(1, 4, 3, 0.0), 1.0)]
    best = min(over_depths(tests))
    assert 4.0**-4 * 0.99 <= best <= least_joint([(4, 3), (4, 3)])
    assert least_joint([(12, 3), (12, 3)]) < 1e-6


def test_labels_change_less_often_than_turned_ones() -> None:
    always = np.ones((8, 4), dtype=bool)
    still = always.copy()
    still[:, 0] = False
    assert labels_test(always, 1.0) == pytest.approx(1.0)
    assert labels_test(still, 1.0) < 1e-4
    assert over_separate_depths([0.01, 0.5]) == pytest.approx([1 - 0.99**2, 0.75])


def test_the_interval_counts_bases_and_not_probes() -> None:
    differences = np.random.default_rng(5).normal(size=6)
    twice = np.concatenate([differences, differences])
    one, both = ratio_of(differences, range(6)), ratio_of(twice, [*range(6)] * 2)
    assert (one.ratio, one.low, one.high) == pytest.approx((both.ratio, both.low, both.high))
    assert one.ratio == pytest.approx(math.exp(differences.mean()))
    assert ratio_of(differences, [0] * 6).high == math.inf
