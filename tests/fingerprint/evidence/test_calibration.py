"""Margins from a source's pairs and surrogates: never above the default, and conformal below it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.evidence.calibration import (
    DEFAULT_MARGIN,
    LEAST_MARGIN,
    Calibration,
    Margin,
    PairRatio,
    margin_from,
)
from tests.support.fingerprints import make_fingerprint, make_model

RATIOS = st.lists(st.floats(0.01, 3), max_size=8)


@given(RATIOS, RATIOS)
def test_the_margin_is_the_smallest_of_all_that_is_known(
    pairs: list[float], surrogates: list[float]
) -> None:
    margin = margin_from(pairs, surrogates)
    imitated = [0.7 * ratio for ratio in surrogates if ratio < DEFAULT_MARGIN]
    assert margin.value == sorted([DEFAULT_MARGIN, *pairs, *imitated])[0]
    of_source = {"default": [DEFAULT_MARGIN], "registry": pairs, "surrogates": imitated}
    assert margin.value in of_source[margin.source]
    assert margin.pairs == len(pairs)
    assert margin.floor == 1 / (1 + len(pairs))


def test_one_pair_is_enough_to_lower_the_margin_and_none_raises_it() -> None:
    assert margin_from([]) == Margin(DEFAULT_MARGIN, "default", pairs=0, floor=1.0)
    assert margin_from([0.64]) == Margin(0.64, "registry", pairs=1, floor=0.5)
    assert margin_from([0.99] * 50) == Margin(DEFAULT_MARGIN, "default", pairs=50, floor=1 / 51)


def test_surrogates_lower_the_margin_and_vouch_for_no_rate() -> None:
    assert margin_from([0.9], [0.6, 1.1]) == Margin(0.7 * 0.6, "surrogates", pairs=1, floor=0.5)
    assert margin_from([0.4], [0.65]) == Margin(0.4, "registry", pairs=1, floor=0.5)


def test_surrogates_that_react_as_strangers_do_not_lower_the_margin() -> None:
    assert margin_from([], [0.75, 1.2]) == margin_from([])


def test_what_is_no_ratio_is_left_out_and_a_ratio_of_zero_is_not() -> None:
    rubbish = [math.nan, math.inf, -math.inf, -0.1]
    assert margin_from(rubbish, [None, *rubbish]) == margin_from([])
    assert margin_from([0.0, math.nan]) == Margin(0.0, "registry", pairs=1, floor=0.5)


@pytest.mark.parametrize(
    ("copy", "value", "source"),
    [
        (0.1, 0.15, "copies"),
        (0.01, LEAST_MARGIN, "copies"),
        (0.3, 0.4, "default"),
        (1.0, 0.4, "default"),
        (None, 0.2, "copies"),
    ],
)
def test_individual_probes_leave_as_much_room_as_a_pruned_copy_takes(
    copy: float | None, value: float, source: str
) -> None:
    found = Margin(0.4).of_copies(copy)
    assert (found.value, found.source) == (pytest.approx(value), source)


@pytest.mark.parametrize("copy", [None, 0.0, 0.1, 0.9])
def test_a_margin_that_the_registry_lowered_is_not_raised_by_what_a_copy_reaches(
    copy: float | None,
) -> None:
    assert Margin(0.05, "registry").of_copies(copy) == Margin(0.05, "registry")


@pytest.mark.parametrize(
    ("value", "usable", "tested"),
    [
        (0.7, True, 0.7),
        (0.28, True, 0.28),
        (LEAST_MARGIN, True, LEAST_MARGIN),
        (0.09, False, LEAST_MARGIN),
        (0.0, False, LEAST_MARGIN),
    ],
)
def test_a_lowered_margin_makes_claims_of_descent_harder_and_none_of_independence_easier(
    value: float, usable: bool, tested: float
) -> None:
    margin = Margin(value, "registry")
    assert (margin.usable, margin.tested) == (usable, tested)
    assert margin.bound == pytest.approx(0.7)


@pytest.mark.parametrize("models", [1, 4, 19])
def test_a_new_exchangeable_model_undercuts_the_margin_no_more_often_than_the_floor(
    models: int,
) -> None:
    """Each source has ratios about a level of its own, most of them below the default."""
    generator = np.random.default_rng(models)
    levels = generator.normal(-1.0, 0.4, size=(4000, 1))
    draws = np.exp(levels + generator.normal(0, 0.3, size=(4000, models + 1)))
    margins = [margin_from(row[1:].tolist()) for row in draws]
    undercut = np.mean([row[0] < margin.value for row, margin in zip(draws, margins, strict=True)])
    floor = margins[0].floor
    noise = math.sqrt(floor * (1 - floor) / len(draws))
    assert floor - 8 * noise < undercut < floor + 4 * noise


# What is kept apart.


def margin_of(*pairs: PairRatio, depth: str = "network", answer_kind: str = "logits") -> Margin:
    fingerprint = replace(make_fingerprint(make_model()), parameters={"decoys": [0.9]})
    return Calibration(
        {"ours": pairs, "theirs": [PairRatio("harm_ratio", None, "logits", 0.2)]}
    ).margin("ours", fingerprint, test="harm_ratio", depth=depth, answer_kind=answer_kind)


def test_each_depth_has_the_margin_of_its_own_pairs_and_of_those_whose_depth_nobody_noted() -> None:
    pairs = (
        PairRatio("harm_ratio", "network", "logits", 0.5),
        PairRatio("harm_ratio", "linear", "logits", 0.4),
        PairRatio("harm_ratio", None, "logits", 0.6),
        PairRatio("resemblance", "network", "logits", 0.1),
    )
    assert margin_of(*pairs) == Margin(0.5, "registry", pairs=2, floor=1 / 3)
    assert margin_of(*pairs, depth="linear").value == 0.4
    assert margin_of(*pairs[2:], depth="linear").value == 0.6
    assert margin_of() == Margin()


@pytest.mark.parametrize(
    ("measured", "asked", "counts"),
    [
        ("logits", "logits", True),
        ("logits", "labels", True),
        ("probabilities", "logits", True),
        ("probabilities", "top-k", True),
        ("top-k", "labels", True),
        ("top-k", "logits", False),
        ("labels", "top-k", False),
        ("smells", "labels", False),
    ],
)
def test_a_pair_counts_for_answers_that_say_no_more_than_it_was_measured_on(
    measured: str, asked: str, counts: bool
) -> None:
    found = margin_of(PairRatio("harm_ratio", "network", measured, 0.3), answer_kind=asked)
    assert (found.value == 0.3) == counts


def test_nothing_that_is_known_moves_the_bound_of_independence() -> None:
    assert margin_of(PairRatio("harm_ratio", None, "logits", 0.01)).bound == Margin().bound == 0.7
