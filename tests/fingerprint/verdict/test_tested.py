"""P-values are corrected over kinds of probe and over candidates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerprint.evidence.statistics import holm
from fingerprint.verdict import weigh
from tests.support.findings import ALPHA, FAMILY, HIGH, a_test, judged


def test_two_kinds_of_probe_share_the_level() -> None:
    once = a_test(0.1, 0.05, 0.2, 0.6 * ALPHA)
    assert judged(once).verdict == "derived"
    assert judged(once, replace(HIGH, depth="linear")).verdict == "inconclusive"
    assert judged(once, replace(once, depth="linear")).p_value == pytest.approx(1.2 * ALPHA)


def test_depths_that_share_one_statistic_are_not_corrected_again() -> None:
    """The p-value over depths is given with them; Holm's correction would count them twice."""
    other = replace(HIGH, depth="late", speaks_for="family", p_value=0.8, joint_p=0.95)
    candidate = judged(replace(FAMILY, p_value=5e-4, joint_p=9e-4), other)
    assert candidate.verdict == "derived"
    assert candidate.p_value == pytest.approx(9e-4)
    separate = judged(replace(FAMILY, p_value=9e-4, joint_p=None), other)
    assert separate.p_value == pytest.approx(1.8e-3)


def test_a_claim_gets_harder_with_every_compatible_model_asked_or_not() -> None:
    once = a_test(0.1, 0.05, 0.2, ALPHA / 10)
    assert judged(once, family=10).verdict == "derived"
    assert judged(once, family=10).p_value == pytest.approx(ALPHA)
    assert judged(once, family=11).verdict == "inconclusive"


def test_p_values_of_candidates_are_corrected_by_holm_and_findings_keep_their_own() -> None:
    raw = [1e-5, 4e-4, 0.03, 0.9]
    found = weigh(
        {f"m{i}": [a_test(0.1, 0.05, 0.2, p)] for i, p in enumerate(raw)},
        family=4,
        alpha=ALPHA,
    )
    by_name = {candidate.name: candidate for candidate in found}
    corrected = [by_name[f"m{i}"].p_value for i in range(4)]
    assert corrected == pytest.approx(holm(raw))
    assert [by_name[f"m{i}"].findings[0].p_value for i in range(4)] == raw
