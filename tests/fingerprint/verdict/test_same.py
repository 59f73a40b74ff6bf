"""Who is called the same: equal answers, and what else has to show it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerprint.evidence.calibration import Margin
from tests.support.findings import (
    FAMILY,
    HIGH,
    INF,
    LOW,
    NOT_OWN,
    RELATED,
    a_test,
    equality,
    judged,
)


@pytest.mark.parametrize(("share", "verdict"), [(0.4, "inconclusive"), (0.5, "same")])
def test_replayed_answers_match_nobody(share: float, verdict: str) -> None:
    (equal,) = equality(0.0)
    candidate = judged(LOW, replace(equal, detail={**equal.detail, "panel": share}), deviation=None)
    assert candidate.verdict == verdict
    assert ("replayed" in candidate.reason) is (verdict == "inconclusive")


@pytest.mark.parametrize(
    ("deviation", "verdict"),
    [(0.0, "same"), (1e-6, "same"), (1.1e-6, "derived"), (None, "derived"), (INF, "derived")],
)
def test_the_same_is_what_answers_within_the_tolerance(
    deviation: float | None, verdict: str
) -> None:
    assert judged(LOW, deviation=deviation).verdict == verdict


def test_equal_answers_without_a_significant_test_are_not_the_same() -> None:
    weak = a_test(0.001, 0.0, 0.01, 0.02)
    assert judged(weak, deviation=0.0).verdict == "inconclusive"


def test_equal_labels_are_not_the_same() -> None:
    assert judged(LOW, deviation=0.0, answer_kind="labels").verdict == "derived"


def test_the_same_answers_are_the_same_whatever_the_margin() -> None:
    low = a_test(0.02, 0.01, 0.05, 1e-9)
    assert judged(low, deviation=0.0, margin=Margin(0.0, "registry")).verdict == "same"


def test_equal_answers_are_the_same_whoever_is_related() -> None:
    assert judged(FAMILY, NOT_OWN, deviation=0.0, kinship=RELATED).verdict == "same"


def test_the_very_weights_with_other_answers_are_inconclusive_and_say_what_to_check() -> None:
    for test in (LOW, HIGH):
        candidate = judged(test, identical=True)
        assert (candidate.verdict, candidate.identical_weights) == ("inconclusive", True)
        assert (
            "the weights are those of ours, the answers are not: check --mean" in candidate.reason
        )
    assert judged(LOW, deviation=0.0, identical=True).verdict == "same"
    assert judged(LOW, identical=True, trouble="cut off").reason == "no evidence: cut off"
    assert judged(LOW, deviation=0.0, identical=True, answer_kind="labels").verdict == "derived"
