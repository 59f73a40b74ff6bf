"""What is reported of one candidate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerprint.evidence.calibration import margin_from
from fingerprint.evidence.finding import Finding
from tests.support.findings import HIGH, INF, LOW, SILENT, a_test, judged


def test_without_tests_there_is_no_number_to_quote() -> None:
    candidate = judged(SILENT)
    assert candidate.reason == "no evidence: they are not finite"
    assert (candidate.harm_ratio, candidate.harm_ratio_ci, candidate.p_value) == (None, None, None)
    assert (candidate.margin, candidate.margin_source) == (None, None)


@pytest.mark.parametrize(
    ("tests", "quoted"),
    [
        ((LOW,), 0.1),
        ((LOW, replace(HIGH, depth="linear")), 0.1),
        ((HIGH,), 0.95),
        ((a_test(0.001, 0.0, 2.0, 1e-12), replace(LOW, depth="linear")), 0.1),
    ],
)
def test_the_report_quotes_the_test_that_decided(tests: tuple[Finding, ...], quoted: float) -> None:
    candidate = judged(*tests)
    assert candidate.harm_ratio == quoted
    assert f"{quoted:.3g}" in candidate.reason
    assert "{" not in candidate.reason


def test_each_finding_says_what_the_verdict_takes_from_it() -> None:
    between = a_test(0.7, 0.6, 0.8, 0.2, "linear")
    candidate = judged(LOW, replace(HIGH, depth="deep"), between, deviation=0.0)
    assert candidate.verdict == "same"
    parts = {finding.depth: finding.decides for finding in candidate.findings}
    assert parts == {"network": "kin", "deep": "independent", "linear": "nothing", None: "kin"}


def test_an_infinite_interval_is_null_in_json() -> None:
    document = judged(a_test(INF, 0.0, INF, 1.0)).to_dict()
    assert document["harm_ratio"] is None
    assert document["harm_ratio_ci"] == [0.0, None]


def test_the_candidate_says_what_its_margin_rests_on() -> None:
    document = judged(LOW, margin=margin_from([0.9, 0.64, 1.0])).to_dict()
    assert document["margin"] == 0.64
    assert document["margin_source"] == "registry"
    assert document["margin_pairs"] == 3
    assert document["margin_floor"] == 0.25
