"""Who is called derived: kinship, descent, and relatives that explain as much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.resemblance import Alignment
from fingerprint.kinship import Kinship
from fingerprint.verdict import weigh
from fingerprint.verification import Candidate
from tests.support.findings import (
    ALPHA,
    FAMILY,
    HIGH,
    INF,
    LOW,
    NOT_OWN,
    OWN,
    RELATED,
    SILENT,
    judged,
)


def test_only_a_model_trained_from_scratch_is_descended_from() -> None:
    stated = Kinship(from_scratch=frozenset({"ours"}))
    from_scratch, unknown = judged(LOW, kinship=stated), judged(LOW)
    assert (from_scratch.relation, unknown.relation) == ("descends", "shares_origin")
    assert unknown.reason.endswith("one descends from the other, or both from a third")
    contradicted = replace(stated, parents={"ours": "theirs"})
    assert judged(LOW, kinship=contradicted).relation == "shares_origin"
    for candidate in (judged(HIGH), judged(LOW, deviation=0.0), judged(SILENT)):
        assert candidate.relation is None


def test_where_relatives_are_registered_only_individual_probes_show_descent() -> None:
    candidate = judged(FAMILY, OWN, kinship=RELATED)
    assert (candidate.verdict, candidate.relation) == ("derived", "descends")
    # It quotes what it rests on, though the family's probes are more significant.
    assert (candidate.harm_ratio, candidate.p_value) == (0.2, 1e-9)
    assert {one.decides for one in candidate.findings if one.test == "harm_ratio"} == {"kin"}


def test_kinship_alone_is_no_claim_where_relatives_are_registered() -> None:
    candidate = judged(FAMILY, NOT_OWN, kinship=RELATED)
    assert (candidate.verdict, candidate.relation) == ("inconclusive", None)
    assert candidate.reason == (
        "it shares an origin with ours and its relatives (base, sibling); the probes that speak "
        "for ours alone do not show descent (ratio 0.8, a sibling stays above 0.45)"
    )
    bare = judged(FAMILY, kinship=RELATED)
    assert bare.verdict == "inconclusive"
    assert bare.reason.endswith("renew it: 'fp register --again ours'")


@pytest.mark.parametrize(
    "kinship",
    [Kinship(), Kinship(parents={"child": "ours"}), Kinship(digests={"ours": "ab", "copy": "ab"})],
    ids=["none", "its own child", "its copy"],
)
def test_without_relatives_kinship_is_enough(kinship: Kinship) -> None:
    candidate = judged(FAMILY, kinship=kinship)
    assert (candidate.verdict, candidate.relation) == ("derived", "shares_origin")


def test_what_an_earlier_release_measured_is_judged_as_it_did() -> None:
    candidate = judged(LOW, kinship=RELATED)
    assert (candidate.verdict, candidate.relation) == ("derived", "shares_origin")


COPY = Finding(
    test="copies",
    speaks_for="individual",
    statistic=0.0001,
    margin=Margin(0.01, bound=INF),
    used=32,
    detail={"copy": "pruned by 30 %", "equal": True, "tolerance": 1e-4},
)


def test_whoever_answers_as_a_usual_copy_descends() -> None:
    candidate = judged(FAMILY, NOT_OWN, COPY, kinship=RELATED)
    assert (candidate.verdict, candidate.relation) == ("derived", "descends")
    assert candidate.reason == (
        "its answers to 32 inputs of the panel equal those of ours, pruned by 30 %, within 0.0001 "
        "of their size"
    )
    parts = {(one.test, one.depth): one.decides for one in candidate.findings}
    assert parts["copies", None] == "kin"
    assert parts["harm_ratio", "individual features"] == "nothing"


@pytest.mark.parametrize("detail", [{"equal": False, "copy": "int8"}, {"missing": "few"}])
def test_answers_near_those_of_a_copy_are_no_claim(detail: dict[str, Any]) -> None:
    candidate = judged(FAMILY, NOT_OWN, replace(COPY, detail=detail), kinship=RELATED)
    assert candidate.verdict == "inconclusive"
    assert {one.decides for one in candidate.findings if one.test == "copies"} == {"nothing"}


def test_whoever_is_the_same_is_no_copy() -> None:
    candidate = judged(FAMILY, OWN, COPY, kinship=RELATED, deviation=0.0)
    assert candidate.verdict == "same"
    assert {one.decides for one in candidate.findings if one.test == "copies"} == {"nothing"}


def test_an_unusable_margin_of_individual_probes_shows_no_descent() -> None:
    unusable = replace(OWN, margin=Margin(0.05, "registry", bound=INF))
    assert judged(FAMILY, unusable, kinship=RELATED).verdict == "inconclusive"


ALIKE = Finding(
    test="resemblance",
    statistic=0.8,
    interval=(0.7, 0.9),
    p_value=1e-9,
    least_p=1e-12,
    margin=Margin(0.4, "default", bound=-1.0),
    used=96,
)


def by_answers(low: float, high: float, *tests: Finding, asked: str = "base") -> Candidate:
    """Judges a child that a relative is compared with on the panel: by how much it is nearer."""
    found = weigh(
        {"ours": [*tests, ALIKE], asked: [ALIKE]},
        family=2,
        alpha=ALPHA,
        kinship=RELATED,
        nearer=lambda *names: (
            Alignment((low + high) / 2, low, high, 0.01, 96) if names == ("ours", asked) else None
        ),
    )
    return next(one for one in found if one.name == "ours")


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "derived"), (0.0, 0.2, "inconclusive"), (-0.3, -0.1, "inconclusive")],
)
def test_resemblance_claims_nobody_whose_relative_explains_the_answers_as_well(
    low: float, high: float, verdict: str
) -> None:
    candidate = by_answers(low, high)
    assert candidate.verdict == verdict
    assert candidate.relation == ("shares_origin" if verdict == "derived" else None)
    assert ("its relative base explains" in candidate.reason) == (verdict == "inconclusive")


def test_whoever_is_no_relative_weakens_no_claim() -> None:
    assert by_answers(-0.3, -0.1, asked="stranger").verdict == "derived"


def test_being_nearer_on_the_panel_grants_nothing_to_a_model_with_probes() -> None:
    clearly = by_answers(0.1, 0.3, FAMILY, NOT_OWN)
    assert (clearly.verdict, "panel" in clearly.reason) == ("inconclusive", False)
    farther = by_answers(-0.3, -0.1, FAMILY, NOT_OWN)
    assert farther.verdict == "inconclusive"
    assert "is nearer to base on the panel (by 0.2, interval 0.1 to 0.3)" in farther.reason
    assert by_answers(-0.3, -0.1, FAMILY, OWN).verdict == "derived"
