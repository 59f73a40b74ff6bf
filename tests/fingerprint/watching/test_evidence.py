"""The capital is what the promise needs: checked over all orders of a few scores, not by luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations, product

import numpy as np
import pytest

from fingerprint.watching.evidence import BETS, capital, gains, likeliest_start


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_what_a_bet_pays_is_one_on_average(count: int) -> None:
    scores = np.arange(count, dtype=float)
    paid = [np.exp(gains(one, [*scores[scores != one]])) for one in scores]
    np.testing.assert_allclose(np.mean(paid, axis=0), np.ones(BETS), rtol=1e-9)


def capitals(order: Sequence[float], first: int, runs: Sequence[int]) -> list[float]:
    """Returns the capital after each run on one question, of which some scores come first."""
    paid, seen = [], list(order[:first])
    rest = iter(order[first:])
    for count in runs:
        total = np.zeros(BETS)
        for _ in range(count):
            score = next(rest)
            total += gains(score, seen)
            seen.append(score)
        paid.append(total)
    return [math.exp(capital(paid[:number])) for number in range(len(paid) + 1)]


def test_the_capital_begins_at_one_and_stays_there_on_average() -> None:
    found = [
        capitals(order, 2, (1, 2, 1)) for order in permutations((1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    ]
    np.testing.assert_allclose(np.mean(found, axis=0), np.ones(4), rtol=1e-9)


def test_the_capital_stays_there_on_average_over_two_questions_at_once() -> None:
    found = []
    for one, other in product(permutations((1.0, 2.0, 3.0)), permutations((0.1, 0.2, 0.3))):
        both = [
            gains(a, one[:place]) + gains(b, other[:place])
            for place, (a, b) in enumerate(zip(one, other, strict=True))
            if place
        ]
        found.append([math.exp(capital(both[:number])) for number in range(3)])
    np.testing.assert_allclose(np.mean(found, axis=0), np.ones(3), rtol=1e-9)


@pytest.mark.parametrize(
    "scores",
    [
        (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),
        (0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0),
        (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0),
        (3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0),
    ],
    ids=["distinct", "seldom other", "labels", "equal"],
)
def test_it_seldom_ever_reaches_what_an_alarm_needs(scores: tuple[float, ...]) -> None:
    most = np.array([max(capitals(order, 1, (1, 2, 1, 2))) for order in permutations(scores)])
    for alpha in (0.9, 0.8, 0.7, 0.5, 0.3, 0.1):
        assert (most >= 1 / alpha).mean() <= alpha
    # With distinct scores something is reached, or this would say nothing.
    assert most.max() > 2 or len(set(scores)) < len(scores)


def test_equal_scores_earn_nothing() -> None:
    paid = [gains(0.0, [0.0] * count) for count in range(1, 50)]
    assert max(capital(paid[:number]) for number in range(50)) <= 1e-12


@pytest.mark.parametrize("later", [2.0, -1.0], ids=["farther", "nearer"])
def test_what_ranks_at_an_end_from_a_run_on_is_found_and_when(later: float) -> None:
    earlier = [(7 * place % 10) / 10 for place in range(10)]
    paid = [gains(0.05 + place / 10, earlier) for place in (3, 8, 1, 6, 4, 9, 0, 5, 2, 7)]
    before = capital(paid)
    paid += [gains(later, earlier) + gains(later, earlier) for _ in range(5)]
    assert before < 1 < math.log(1000) < capital(paid)
    assert likeliest_start(paid) == 10
