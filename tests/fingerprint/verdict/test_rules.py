"""The rules of a verdict on one candidate."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from tests.support.findings import ALPHA, HIGH, INF, LOW, a_test, judged


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        (LOW, "derived"),
        (HIGH, "independent"),
        (a_test(0.1, 0.05, 0.2, ALPHA), "derived"),
        (a_test(0.1, 0.05, 0.2, 1.01 * ALPHA), "inconclusive"),
        (a_test(0.6, 0.45, 0.71, 1e-9), "inconclusive"),
        (a_test(0.6, 0.45, 0.7, 1e-9), "inconclusive"),
        (a_test(0.6, 0.45, 0.69, 1e-9), "derived"),
        (a_test(0.9, 0.701, 1.2, 0.9), "independent"),
        (a_test(0.9, 0.699, 1.2, 0.9), "inconclusive"),
        (a_test(0.65, 0.62, 0.68, 1e-9), "derived"),
        (a_test(0.65, 0.62, 0.68, 0.5), "inconclusive"),
        (a_test(0.75, 0.72, 0.8, 0.5), "independent"),
        (a_test(0.1, 0.0, INF, 1e-9, detail={"exact": True}), "derived"),
        (a_test(0.1, 0.0, INF, 0.01, detail={"exact": True}), "inconclusive"),
        (a_test(0.1, 0.0, INF, 1e-9), "inconclusive"),
        (a_test(INF, 0.0, INF, 1.0), "inconclusive"),
    ],
)
def test_one_kind_of_probe_decides_by_p_value_and_interval(test: Finding, verdict: str) -> None:
    assert judged(test).verdict == verdict


@pytest.mark.parametrize("test", [LOW, HIGH])
def test_trouble_with_the_answers_outweighs_every_test(test: Finding) -> None:
    candidate = judged(test, deviation=0.0, trouble="the line went dead")
    assert candidate.verdict == "inconclusive"
    assert candidate.reason == "no evidence: the line went dead"
    assert {finding.decides for finding in candidate.findings} == {"nothing"}
    numbers = (candidate.harm_ratio, candidate.harm_ratio_ci, candidate.p_value, candidate.margin)
    assert numbers == (None, None, None, None)
    assert candidate.findings[0].statistic == test.statistic


@given(
    ends=st.lists(st.floats(0.01, 2), min_size=2, max_size=2).map(sorted),
    p_value=st.sampled_from([1e-9, ALPHA, 0.5]),
    dearer=st.sampled_from([1.0, 1e3, 1e9]),
    value=st.floats(0, 0.7),
)
@example(ends=[0.62, 0.68], p_value=1e-9, dearer=1.0, value=0.64)
def test_a_lowered_margin_turns_no_claim_into_its_opposite(
    ends: list[float], p_value: float, dearer: float, value: float
) -> None:
    """Whatever the interval; at a lower margin a p-value is the same or larger."""
    low, high = ends
    test = a_test(math.sqrt(low * high), low, high, p_value)
    harder = a_test(math.sqrt(low * high), low, high, min(1.0, dearer * p_value))
    before = judged(test).verdict
    after = judged(harder, margin=Margin(value, "registry")).verdict
    assert after in (before, "inconclusive")
