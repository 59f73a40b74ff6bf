"""What is computed from a results file: who counts for what."""

from __future__ import annotations

import copy
import json

import pytest

from benchmarks.detection.findings import Findings
from benchmarks.detection.results import evaluate, load, query_score, read
from fingerprint.errors import EnvironmentFailure, MalformedFile
from tests.benchmarks.detection.synthetic import document


@pytest.fixture(scope="module")
def invented() -> dict:
    return document(independents=6, rows=(0, 5, 10, 16, 19, 22, 24, 27, 28))


def _changed(invented: dict, change) -> Findings:
    document = copy.deepcopy(invented)
    members = {member["name"]: member for member in document["members"]}
    for pair in document["pairs"]:
        change(pair, members[pair["suspect"]])
    return Findings(read(document))


def _sharing(invented: dict) -> list[dict]:
    groups = {member["name"]: member["group"] for member in invented["members"]}
    return [
        pair
        for pair in invented["pairs"]
        if pair["related"] and groups[pair["suspect"]] == "shares weights"
    ]


def test_found_are_those_below_the_second_lowest_independent_ratio(invented: dict) -> None:
    findings = Findings(read(invented))
    others = [pair for pair in invented["pairs"] if not pair["related"]]
    assert 100 <= len(others) < 200
    limit = sorted(pair["verdicts"]["logits"]["ratio"] for pair in others)[1]
    related = _sharing(invented)
    hits = sum(pair["verdicts"]["logits"]["ratio"] < limit for pair in related)
    found = findings.by_group["shares weights"].tpr1
    assert (found.hits, found.total) == (hits, len(related))


def test_a_source_with_itself_is_no_evidence_that_copies_are_found(invented: dict) -> None:
    results = read(invented)
    assert all(pair.source != pair.suspect for pair in results.related())
    assert len(results.related("shares weights")) == len(_sharing(invented))


def test_an_answer_that_a_method_cannot_give_is_a_miss_and_no_false_alarm(invented: dict) -> None:
    def silence(pair, member):
        pair["scores"]["SAC"] = dict.fromkeys(pair["scores"]["SAC"])

    results = _changed(invented, silence).results
    related, others = results.related(), results.independent()
    found = evaluate(related, others, query_score("SAC", 24))
    assert (found.unanswered, found.excluded, found.independents) == (len(related), len(others), 0)
    assert found.tpr1.value is None


def test_an_answer_without_evidence_is_no_detection(invented: dict) -> None:
    def mute(pair, member):
        if pair["related"]:
            pair["verdicts"]["logits"] = {"verdict": "inconclusive", "ratio": None, "queries": 55}

    assert _changed(invented, mute).by_group["shares weights"].tpr1.hits == 0


def test_what_was_never_measured_is_left_out_of_a_method(invented: dict) -> None:
    def skip(pair, member):
        if member["name"].startswith("plain"):
            del pair["scores"]["AKH"]

    findings = _changed(invented, skip)
    kept = [pair for pair in _sharing(invented) if not pair["suspect"].startswith("plain")]
    assert findings.compared["shares weights", "AKH", 24].tpr1.total == len(kept)


def test_p_values_go_by_the_class_of_the_depth_that_gave_them(invented: dict) -> None:
    def deepen(pair, member):
        if not pair["related"]:
            pair["verdicts"]["labels"]["depths"] = {"features": [0.9, 0.5, 1.2, None]}

    findings = _changed(invented, deepen)
    count = len(findings.results.independent())
    found = findings.p_values_by_test
    assert found["early", "logits"] == [0.5] * count
    assert found["late", "logits"] == [0.7] * count
    assert found["resemblance", "labels"] == [0.9] * count
    # No such depth, and one that gave no evidence.
    assert not {("linear", "logits"), ("early", "labels"), ("late", "labels")} & found.keys()


def test_files_of_another_schema_or_without_a_field_are_refused(invented: dict, tmp_path) -> None:
    results = tmp_path / "results.json"
    with pytest.raises(EnvironmentFailure, match="make detection"):
        load(results)
    results.write_text(json.dumps({**invented, "schema": 2}))
    with pytest.raises(MalformedFile, match="expected schema 1, got 2"):
        load(results)
    results.write_text(json.dumps({**invented, "members": []}))
    with pytest.raises(MalformedFile, match="complete"):
        load(results)
