"""What cannot be decided, and what is said of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fingerprint.evidence.calibration import LEAST_MARGIN, Margin
from tests.support.findings import HIGH, a_test, judged


@pytest.mark.parametrize("source", ["registry", "surrogates"])
@pytest.mark.parametrize("value", [0.0, 0.001, 0.09])
def test_below_the_least_usable_margin_no_ratio_is_called_descent(
    value: float, source: str
) -> None:
    low = a_test(0.02, 0.01, 0.05, 1e-9)
    candidate = judged(low, margin=Margin(value, source))
    assert candidate.verdict == "inconclusive"
    assert f"fall to {value:.2g}" in candidate.reason
    assert ("--parent" in candidate.reason) == (source == "registry")
    assert candidate.margin == value
    assert judged(low, margin=Margin(LEAST_MARGIN, source)).verdict == "derived"


def test_probes_that_hardly_move_the_relatives_they_should_are_said_to_tell_nothing() -> None:
    candidate = judged(a_test(0.02, 0.01, 0.05, 1e-9), margin=Margin(0.07, "relatives"))
    assert candidate.verdict == "inconclusive"
    assert "hardly move the relatives" in candidate.reason


def test_too_few_probes_for_so_many_candidates_are_said_to_decide_nothing() -> None:
    weak = a_test(0.1, 0.05, 0.2, 2e-4, least_p=2e-4)
    assert judged(weak, family=5).verdict == "derived"
    candidate = judged(weak, family=6)
    assert candidate.verdict == "inconclusive"
    assert candidate.reason == (
        "nothing can be decided with so few probes: over 6 compatible models they give no "
        "p-value below 0.0012, and 0.001 is asked; register with more probes"
    )
    strong = replace(weak, least_p=1e-9)
    assert "too close to the margin" in judged(strong, family=6).reason
    assert judged(replace(HIGH, least_p=1.0), family=6).verdict == "independent"


@pytest.mark.parametrize(
    ("share", "said"), [(0.1, "that move even the source so much"), (0.9, "so late")]
)
def test_probes_that_say_nothing_of_independence_are_said_not_to(share: float, said: str) -> None:
    high = a_test(0.9, 0.8, 1.1, 1.0, detail={"share": share, "answered": 24, "probes": 24})
    candidate = judged(high, margin=Margin(0.5, bound=math.inf))
    assert candidate.verdict == "inconclusive"
    assert said in candidate.reason
