"""A verdict as pipelines read it: what failed is a failure, what is undecided never a pass."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from fingerprint.verification import Commitment
from tests.cli.fakes import HOSTILE, candidate, verification


def document(fp: Any, *arguments: str) -> Any:
    result = fp("verify", "suspect.pt", *arguments)
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize(
    ("verdict", "arguments", "code", "kind", "level"),
    [
        ("derived", ["--forbid", "ours"], 1, "fail", "error"),
        ("derived", ["--expect", "ours"], 0, "pass", "none"),
        ("inconclusive", ["--forbid", "ours"], 4, "fail", "warning"),
        ("independent", ["--forbid", "ours"], 0, "pass", "none"),
        ("derived", [], 0, "pass", "none"),
        ("inconclusive", [], 4, "fail", "warning"),
    ],
)
def test_sarif_says_what_the_exit_code_says(
    fp: Any, script: Any, verdict: Any, arguments: list[str], code: int, kind: str, level: str
) -> None:
    script.result = verification(candidate("ours", verdict))
    found, log = document(fp, "--format", "sarif", *arguments)
    (run,) = log["runs"]
    first, *candidates = run["results"]
    assert (found, first["kind"], first["level"]) == (code, kind, level)
    assert run["invocations"][0]["exitCode"] == code
    assert [one["properties"]["name"] for one in candidates] == ["ours"]
    assert all(one["level"] == "none" for one in candidates)
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {one["ruleId"] for one in run["results"]} <= rules


@pytest.mark.parametrize(
    ("verdict", "arguments", "code", "tags"),
    [
        ("derived", ["--forbid", "ours"], 1, ["failure"]),
        ("derived", ["--expect", "ours"], 0, ["system-out"]),
        ("inconclusive", ["--forbid", "ours", "--expect", "ours"], 4, ["error", "error"]),
        ("independent", [], 0, ["system-out"]),
        ("inconclusive", [], 4, ["error"]),
    ],
)
def test_junit_says_what_the_exit_code_says(
    fp: Any, script: Any, verdict: Any, arguments: list[str], code: int, tags: list[str]
) -> None:
    script.result = verification(candidate("ours", verdict))
    result = fp("verify", "suspect.pt", "--format", "junit", *arguments)
    assert result.exit_code == code
    (suite,) = ElementTree.fromstring(result.stdout)
    cases = suite.findall("testcase")
    assert [child.tag for case in cases for child in case] == tags
    counts = suite.get("tests"), suite.get("failures"), suite.get("errors")
    assert counts == (str(len(tags)), str(tags.count("failure")), str(tags.count("error")))


def test_the_commitment_and_the_number_are_in_every_document(fp: Any, script: Any) -> None:
    commitment = Commitment(digest="ab" * 32, entry="3:" + "cd" * 32)
    script.result = verification(candidate(), commitment=commitment, verification=12)
    _, log = document(fp, "--format", "sarif")
    properties = log["runs"][0]["properties"]
    assert (properties["criteria"], properties["verification"]) == ("ab" * 32, 12)
    text = fp("verify", "suspect.pt", "--format", "junit").stdout
    listed = ElementTree.fromstring(text).iter("property")
    found = {one.get("name"): one.get("value") for one in listed}
    assert (found["criteria"], found["verification"]) == ("ab" * 32, "12")


@pytest.mark.parametrize("form", ["sarif", "junit"])
def test_hostile_names_do_nothing(fp: Any, script: Any, form: str) -> None:
    script.result = verification(
        candidate(HOSTILE, "same", reason=HOSTILE), warnings=(HOSTILE,), reason=HOSTILE
    )
    result = fp("verify", "suspect.pt", "--format", form)
    assert not set(result.stdout) & set("\x1b\u202e")
    if form == "sarif":
        log = json.loads(result.stdout)["runs"][0]
        texts = [one["message"]["text"] for one in log["results"]]
        assert not any("\n" in text or "\x1b" in text for text in texts)
    else:
        assert "</script>" not in result.stdout
        ElementTree.fromstring(result.stdout)


def test_format_json_is_json_and_table_is_the_table(fp: Any) -> None:
    assert fp("verify", "suspect.pt", "--format", "json").stdout == (
        fp("verify", "suspect.pt", "--json").stdout
    )
    assert fp("verify", "suspect.pt", "--format", "table").stdout == (
        fp("verify", "suspect.pt").stdout
    )
    refused = fp("verify", "suspect.pt", "--json", "--format", "junit")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert fp("verify", "suspect.pt", "--format", "xml").exit_code == 2
