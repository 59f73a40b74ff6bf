"""However many models are compared, a suspect that is none of them is seldom claimed as any."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.statistics import least_p_value, permutation_test
from fingerprint.verdict import weigh
from fingerprint.verification import Candidate

Array = NDArray[np.float64]

ALPHA, CANDIDATES, SUSPECTS = 0.05, 60, 500
DESIGN = [(4, 4), (4, 4)]
LEAST = least_p_value(DESIGN)
MARGIN = Margin(0.7)


def relabelled(levels: Array) -> Array:
    """Sums of every choice of four of eight values, the first four first: ``(N, 8) -> (N, 70)``."""
    chosen = np.zeros((8, 70))
    for column, places in enumerate(combinations(range(8), 4)):
        chosen[list(places), column] = 1.0
    return levels @ chosen


def p_values(levels: Array) -> Array:
    """Exact p-values of trials of two bases with four probes and four controls each.

    Args:
        levels: Log harm less the log of the margin, shape ``(N, 2, 8)``, probes first.
    """
    found = []
    for trials in np.array_split(levels, max(1, len(levels) // 1000)):
        first, second = relabelled(trials[:, 0]), relabelled(trials[:, 1])
        sums = first[:, :, None] + second[:, None, :]
        observed = first[:, 0] + second[:, 0]
        found.append((sums <= observed[:, None, None] + 1e-9).mean(axis=(1, 2)))
    return np.concatenate(found)


def strangers(shared: float, seed: int) -> Array:
    """P-values of suspects (rows) whose true ratio is at the margin of every candidate (columns).

    Args:
        shared: How much of the noise all candidates' probes share.
        seed: Of the noise.
    """
    draws = np.random.default_rng(seed)
    own = draws.gumbel(size=(SUSPECTS, CANDIDATES, 2, 8))
    common = draws.gumbel(size=(SUSPECTS, 1, 2, 8))
    levels = np.sqrt(1 - shared) * own + np.sqrt(shared) * common
    return p_values(levels.reshape(-1, 2, 8)).reshape(SUSPECTS, CANDIDATES)


def judged(p_values: Array, family: int = CANDIDATES) -> tuple[Candidate, ...]:
    """The verdict on one suspect, where only p-values are in doubt."""
    return weigh(
        {
            str(place): [
                Finding(
                    test="harm_ratio",
                    depth="network",
                    statistic=0.5,
                    interval=(0.4, 0.6),
                    p_value=float(p_value),
                    least_p=LEAST,
                    margin=MARGIN,
                    used=8,
                )
            ]
            for place, p_value in enumerate(p_values)
        },
        family=family,
        alpha=ALPHA,
    )


def test_the_simulation_counts_what_the_test_counts() -> None:
    draws = np.random.default_rng(0)
    levels = draws.gumbel(size=(20, 2, 8)).round(3)
    judge = [
        permutation_test([*trial[:, :4] + np.log(0.7)], [*trial[:, 4:]], 0.7) for trial in levels
    ]
    np.testing.assert_allclose(p_values(levels), judge, atol=1e-3)
    assert pytest.approx(1 / 4900) == LEAST


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_the_rate_at_which_any_of_many_is_claimed_falsely_is_kept(shared: float) -> None:
    trials = strangers(shared, seed=1)
    claims = sum(any(one.verdict in ("same", "derived") for one in judged(row)) for row in trials)
    assert claims <= stats.binom.ppf(1 - 1e-3, SUSPECTS, ALPHA)
    uncorrected = (trials.min(axis=1) <= ALPHA).mean()
    assert uncorrected > 5 * ALPHA, "without a correction nearly everybody would be claimed"


def test_models_that_were_not_asked_make_no_claim_easier() -> None:
    trials = strangers(0.0, seed=2)[:, :20]
    asked_all = [judged(row, family=20) for row in trials]
    some = [judged(row[:5], family=20) for row in trials]
    for every, few in zip(asked_all, some, strict=True):
        ours = {one.name: one.p_value for one in every}
        for one in few:
            assert one.p_value is not None
            assert one.p_value >= min(1.0, 16 * LEAST)
            assert one.p_value >= (ours[one.name] or 1.0) * 16 / 20 - 1e-12


def test_one_copy_among_many_strangers_is_found_while_the_probes_can_say_so() -> None:
    row = strangers(0.0, seed=3)[0]
    row[7] = LEAST
    best, *_ = judged(row)
    assert (best.name, best.verdict) == ("7", "derived")
    assert best.p_value == pytest.approx(CANDIDATES * LEAST)
    many = int(ALPHA / LEAST) + 1
    assert judged(row, family=many - 1)[0].verdict == "derived"
    for one in judged(row, family=many):
        assert one.verdict == "inconclusive"
        assert one.reason.startswith("nothing can be decided with so few probes: over 246 ")
