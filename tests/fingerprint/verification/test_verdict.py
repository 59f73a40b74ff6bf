"""The rules of a verdict, on evidence made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fingerprint.probes.probe import Fingerprint
from fingerprint.verification.calibration import LEAST_MARGIN, Margin, margin_from
from fingerprint.verification.evidence import Evidence, KindTest
from fingerprint.verification.statistics import Estimate
from fingerprint.verification.verdict import judge
from fingerprint.verification.verification import Candidate
from tests.support.fingerprints import make_fingerprint, make_model

ALPHA = 0.001
MARGIN = Margin(0.7, "default")
INF = math.inf


@pytest.fixture(scope="module")
def fingerprint() -> Fingerprint:
    """Of tolerance 1e-6."""
    return make_fingerprint(make_model())


def a_test(ratio: float, low: float, high: float, p: float, kind: str = "network") -> KindTest:
    return KindTest(kind=kind, estimate=Estimate(ratio, low, high), p_value=p, probes=24)


LOW = a_test(0.1, 0.05, 0.2, 1e-9)
HIGH = a_test(0.95, 0.85, 1.05, 0.9)


def judged(
    fingerprint: Fingerprint,
    *tests: KindTest,
    deviation: float | None = 1.0,
    missing: str = "",
    **changes: Any,
) -> Candidate:
    evidence = Evidence(
        tests=tests,
        missing=missing,
        deviation=deviation,
        label_agreement=0.5,
        probes_used=24,
        per_probe=(),
    )
    settings: dict[str, Any] = {
        "margin": MARGIN,
        "alpha": ALPHA,
        "answer_kind": "logits",
        "repeatable": True,
    }
    return judge("ours", fingerprint, evidence, **(settings | changes))


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
        (a_test(0.1, 0.0, INF, 1e-9), "derived"),
        (a_test(0.1, 0.0, INF, 0.01), "inconclusive"),
        (a_test(INF, 0.0, INF, 1.0), "inconclusive"),
    ],
)
def test_one_kind_of_probe_decides_by_p_value_and_interval(
    fingerprint: Fingerprint, test: KindTest, verdict: str
) -> None:
    assert judged(fingerprint, test).verdict == verdict


@pytest.mark.parametrize(("least", "verdict"), [(0.35, "independent"), (0.36, "inconclusive")])
def test_answers_that_would_hide_the_source_show_no_independence(
    fingerprint: Fingerprint, least: float, verdict: str
) -> None:
    candidate = judged(fingerprint, replace(HIGH, least=least))
    assert candidate.verdict == verdict
    assert ("too coarse" in candidate.reason) == (verdict == "inconclusive")
    assert judged(fingerprint, replace(LOW, least=least)).verdict == "derived"


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [
        ((LOW, HIGH), "derived"),
        ((HIGH, a_test(0.9, 0.6, 1.3, 0.7, "linear")), "inconclusive"),
        ((HIGH, a_test(0.65, 0.62, 0.68, 0.5, "linear")), "inconclusive"),
        ((a_test(0.85, 0.705, 1.0, 0.5), a_test(0.65, 0.62, 0.68, 0.5, "linear")), "inconclusive"),
        ((HIGH, a_test(1.2, 1.1, 1.3, 1.0, "linear")), "independent"),
    ],
)
def test_one_kind_is_enough_for_descent_and_all_are_needed_for_independence(
    fingerprint: Fingerprint, tests: tuple[KindTest, ...], verdict: str
) -> None:
    assert judged(fingerprint, *tests).verdict == verdict


@pytest.mark.parametrize(
    ("deviation", "verdict"),
    [(0.0, "same"), (1e-6, "same"), (1.1e-6, "derived"), (None, "derived"), (INF, "derived")],
)
def test_the_same_is_what_answers_within_the_tolerance(
    fingerprint: Fingerprint, deviation: float | None, verdict: str
) -> None:
    assert judged(fingerprint, LOW, deviation=deviation).verdict == verdict


def test_equal_answers_without_a_significant_test_are_not_the_same(
    fingerprint: Fingerprint,
) -> None:
    weak = a_test(0.001, 0.0, 0.01, 0.02)
    assert judged(fingerprint, weak, deviation=0.0).verdict == "inconclusive"


@pytest.mark.parametrize("test", [LOW, HIGH])
def test_missing_or_unsteady_answers_outweigh_every_test(
    fingerprint: Fingerprint, test: KindTest
) -> None:
    silent = judged(fingerprint, test, deviation=0.0, missing="the answers are not finite")
    unsteady = judged(fingerprint, test, deviation=0.0, repeatable=False)
    assert silent.verdict == unsteady.verdict == "inconclusive"
    assert silent.reason == "no evidence: the answers are not finite"
    assert "different answers" in unsteady.reason


def test_without_tests_there_is_no_number_to_quote(fingerprint: Fingerprint) -> None:
    candidate = judged(fingerprint, missing="too few probes were answered")
    assert (candidate.harm_ratio, candidate.harm_ratio_ci, candidate.p_value) == (None, None, None)


@pytest.mark.parametrize(("tests", "quoted"), [((LOW,), 0.1), ((LOW, HIGH), 0.1), ((HIGH,), 0.95)])
def test_the_report_quotes_the_test_that_decided(
    fingerprint: Fingerprint, tests: tuple[KindTest, ...], quoted: float
) -> None:
    candidate = judged(fingerprint, *tests)
    assert candidate.harm_ratio == quoted
    assert f"{quoted:.3g}" in candidate.reason
    assert "{" not in candidate.reason


def test_an_infinite_interval_is_null_in_json(fingerprint: Fingerprint) -> None:
    document = judged(fingerprint, a_test(INF, 0.0, INF, 1.0)).to_dict()
    assert document["harm_ratio"] is None
    assert document["harm_ratio_ci"] == [0.0, None]


# A margin too low to tell copies from strangers.


@pytest.mark.parametrize("source", ["registry", "decoys"])
@pytest.mark.parametrize("value", [0.0, 0.001, 0.09])
def test_below_the_least_usable_margin_no_ratio_is_called_descent(
    fingerprint: Fingerprint, value: float, source: str
) -> None:
    low = a_test(0.02, 0.01, 0.05, 1e-9)
    candidate = judged(fingerprint, low, margin=Margin(value, source))
    assert candidate.verdict == "inconclusive"
    assert f"fall to {value:.2g}" in candidate.reason
    assert ("--parent" in candidate.reason) == (source == "registry")
    assert candidate.margin == value
    assert judged(fingerprint, low, margin=Margin(LEAST_MARGIN, source)).verdict == "derived"


def test_the_same_answers_are_the_same_whatever_the_margin(fingerprint: Fingerprint) -> None:
    unusable = Margin(0.0, "registry")
    low = a_test(0.02, 0.01, 0.05, 1e-9)
    assert judged(fingerprint, low, deviation=0.0, margin=unusable).verdict == "same"


def test_an_unusable_margin_makes_nobody_independent(fingerprint: Fingerprint) -> None:
    unusable = Margin(0.001, "registry")
    half = a_test(0.5, 0.45, 0.55, 0.9)
    assert judged(fingerprint, half, margin=unusable).verdict == "inconclusive"
    assert judged(fingerprint, HIGH, margin=unusable).verdict == "independent"


@given(
    ends=st.lists(st.floats(0.01, 2), min_size=2, max_size=2).map(sorted),
    p_value=st.sampled_from([1e-9, ALPHA, 0.5]),
    dearer=st.sampled_from([1.0, 1e3, 1e9]),
    value=st.floats(0, 0.7),
)
@example(ends=[0.62, 0.68], p_value=1e-9, dearer=1.0, value=0.64)
def test_a_lowered_margin_turns_no_claim_into_its_opposite(
    fingerprint: Fingerprint, ends: list[float], p_value: float, dearer: float, value: float
) -> None:
    """Whatever the interval; at a lower margin a p-value is the same or larger."""
    low, high = ends
    test = a_test(math.sqrt(low * high), low, high, p_value)
    harder = a_test(math.sqrt(low * high), low, high, min(1.0, dearer * p_value))
    before = judged(fingerprint, test).verdict
    after = judged(fingerprint, harder, margin=Margin(value, "registry")).verdict
    assert after in (before, "inconclusive")


def test_the_candidate_says_what_its_margin_rests_on(fingerprint: Fingerprint) -> None:
    document = judged(fingerprint, LOW, margin=margin_from([0.9, 0.64, 1.0])).to_dict()
    assert document["margin"] == 0.64
    assert document["margin_source"] == "registry"
    assert document["margin_pairs"] == 3
    assert document["margin_floor"] == 0.25
