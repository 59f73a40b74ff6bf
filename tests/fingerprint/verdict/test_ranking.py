"""Candidates beside each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cli import policy
from fingerprint.kinship import Kinship
from fingerprint.verdict import weigh
from fingerprint.verification import Candidate, Verification
from tests.support.findings import ALPHA, FAMILY, HIGH, LOW, OWN, equality


def kin(**declared: Any) -> dict[str, Candidate]:
    """A suspect that answers as the child does, and as if it had nothing to do with the parent."""
    found = weigh(
        {"parent": [HIGH, *equality(1.0)], "child": [LOW, *equality(0.0)], "other": [HIGH]},
        family=3,
        alpha=ALPHA,
        kinship=Kinship(**declared),
    )
    assert [one.verdict for one in found] == sorted(
        (one.verdict for one in found), key=["same", "inconclusive", "independent"].index
    )
    return {one.name: one for one in found}


@pytest.mark.parametrize(
    ("declared", "how"),
    [
        ({"parents": {"child": "parent"}}, "is declared to descend from it"),
        ({"parents": {"child": "m", "m": "parent"}}, "is declared to descend from it"),
        ({"digests": {"child": "ab", "parent": "ab"}}, "has its weights"),
    ],
    ids=["child", "grandchild", "copy"],
)
def test_nobody_is_independent_of_the_ancestor_of_a_model_that_matches(
    declared: dict[str, Any], how: str
) -> None:
    found = kin(**declared)
    assert (found["child"].verdict, found["other"].verdict) == ("same", "independent")
    parent = found["parent"]
    assert (parent.verdict, parent.reason) == ("inconclusive", f"'child', which {how}, matches")
    assert {finding.decides for finding in parent.findings} == {"nothing"}
    result = Verification(
        suspect={},
        verdict="same",
        reason="",
        best="child",
        queries=1,
        candidates=(*found.values(),),
    )
    assert policy.judge(result, forbid=["parent"]).code == 4
    assert policy.judge(result, expect=["parent"]).code == 4
    assert policy.judge(result, expect=["child"]).code == 0


def test_a_parent_that_matches_says_nothing_of_its_child() -> None:
    found = kin(parents={"parent": "child"})
    assert found["parent"].verdict == "independent"


def test_the_nearest_member_of_a_family_is_the_one_that_its_own_probes_name() -> None:
    kinship = Kinship(parents={"child": "base"})
    nearer = replace(FAMILY, statistic=0.01, interval=(0.005, 0.02))
    found = weigh(
        {"base": [nearer], "child": [FAMILY, OWN]}, family=2, alpha=ALPHA, kinship=kinship
    )
    assert [one.name for one in found] == ["child", "base"]
    assert [one.relation for one in found] == ["descends", "shares_origin"]
