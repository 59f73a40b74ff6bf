"""The rules of a verdict, on findings made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli import policy
from fingerprint.answers import Answers, Identity, ask
from fingerprint.evidence.calibration import LEAST_MARGIN, Margin, margin_from
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.resemblance import Alignment
from fingerprint.evidence.statistics import holm
from fingerprint.kinship import Kinship
from fingerprint.network.spec import OutputSpec
from fingerprint.questions import questions_for
from fingerprint.suspects import ModelSuspect
from fingerprint.verdict import judge, weigh
from fingerprint.verification import Candidate, Verification
from tests.support.extracted import fingerprint_of, model_of
from tests.support.fingerprints import make_fingerprint, make_model

ALPHA = 0.001
MARGIN = Margin(0.7, "default")
INF = math.inf


def a_test(
    ratio: float, low: float, high: float, p: float, kind: str = "network", **changes: Any
) -> Finding:
    finding = Finding(
        test="harm_ratio",
        depth=kind,
        statistic=ratio,
        interval=(low, high),
        p_value=p,
        least_p=1e-12,
        margin=MARGIN,
        used=24,
    )
    return replace(finding, **changes)


def equality(deviation: float | None, tolerance: float = 1e-6) -> tuple[Finding, ...]:
    if deviation is None:
        return ()
    detail = {
        "equal": deviation <= tolerance,
        "explained": deviation <= tolerance,
        "tolerance": tolerance,
        "rounded_to": None,
        "label_agreement": 0.5,
    }
    return (Finding(test="equality", statistic=deviation, used=24, detail=detail),)


LOW = a_test(0.1, 0.05, 0.2, 1e-9)
HIGH = a_test(0.95, 0.85, 1.05, 0.9)
SILENT = Finding(test="harm_ratio", depth="network", detail={"missing": "they are not finite"})


def still(kind: str, *, answered: int) -> Finding:
    """A kind of probe without evidence: nothing moved, or nothing was answered."""
    detail = {"missing": "there is none", "answered": answered, "probes": 24}
    return Finding(test="harm_ratio", depth=kind, detail=detail)


def judged(
    *tests: Finding,
    deviation: float | None = 1.0,
    margin: Margin | None = None,
    identical: bool = False,
    **settings: Any,
) -> Candidate:
    if margin is not None:
        tests = tuple(replace(test, margin=margin) for test in tests)
    (candidate,) = weigh(
        {"ours": [*tests, *equality(deviation)]},
        **({"family": 1, "alpha": ALPHA} | settings),
        identical=["ours"] if identical else [],
    )
    return candidate


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


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [
        ((LOW, HIGH), "derived"),
        ((HIGH, a_test(0.9, 0.6, 1.3, 0.7, "linear")), "inconclusive"),
        ((HIGH, a_test(0.65, 0.62, 0.68, 0.5, "linear")), "inconclusive"),
        ((a_test(0.85, 0.705, 1.0, 0.5), a_test(0.65, 0.62, 0.68, 0.5, "linear")), "inconclusive"),
        ((HIGH, a_test(1.2, 1.1, 1.3, 1.0, "linear")), "independent"),
        ((HIGH, still("linear", answered=24)), "independent"),
        ((HIGH, still("linear", answered=0)), "inconclusive"),
        ((LOW, still("linear", answered=0)), "derived"),
    ],
)
def test_one_kind_is_enough_for_descent_and_all_that_speak_are_needed_for_independence(
    tests: tuple[Finding, ...], verdict: str
) -> None:
    assert judged(*tests).verdict == verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.39, "independent"), (0.41, "inconclusive"), (None, "independent")]
)
def test_nobody_is_independent_who_arranges_the_panel_as_the_source_does(
    value: float | None, verdict: str
) -> None:
    """An endpoint may add noise to each answer, the same each time: probes are lost in it."""
    panel = Finding(test="resemblance", statistic=value, p_value=0.5, margin=Margin(0.4, "default"))
    candidate = judged(HIGH, panel)
    assert candidate.verdict == verdict
    assert ("is noise added" in candidate.reason) is (verdict == "inconclusive")


@pytest.mark.parametrize(("share", "verdict"), [(0.4, "inconclusive"), (0.5, "same")])
def test_replayed_answers_match_nobody(share: float, verdict: str) -> None:
    (equal,) = equality(0.0)
    candidate = judged(LOW, replace(equal, detail={**equal.detail, "panel": share}), deviation=None)
    assert candidate.verdict == verdict
    assert ("replayed" in candidate.reason) is (verdict == "inconclusive")


def test_a_margin_that_was_raised_excuses_nobody() -> None:
    panel = Finding(
        test="resemblance",
        statistic=0.9,
        p_value=0.5,
        margin=Margin(1.0, "default"),
        detail={"default_margin": 0.4},
    )
    assert judged(HIGH, panel).verdict == "inconclusive"


@pytest.mark.parametrize(("answered", "verdict"), [(18, "independent"), (17, "inconclusive")])
def test_nobody_is_independent_whose_answers_are_missing(answered: int, verdict: str) -> None:
    detail = {"answered": answered, "probes": 24}
    candidate = judged(replace(HIGH, detail=detail))
    assert candidate.verdict == verdict
    assert candidate.findings[0].decides == ("independent" if answered == 18 else "nothing")
    if verdict == "inconclusive":
        assert candidate.reason == "7 of 24 answers are missing (network probes)"
    assert judged(replace(LOW, detail=detail)).verdict == "derived"


@pytest.mark.parametrize(("least", "verdict"), [(0.35, "independent"), (0.36, "inconclusive")])
def test_answers_that_would_hide_the_source_show_no_independence(
    least: float, verdict: str
) -> None:
    candidate = judged(replace(HIGH, detail={"least_ratio": least}))
    assert candidate.verdict == verdict
    assert ("too coarse" in candidate.reason) == (verdict == "inconclusive")
    assert judged(replace(LOW, detail={"least_ratio": least})).verdict == "derived"


def test_two_kinds_of_probe_share_the_level() -> None:
    once = a_test(0.1, 0.05, 0.2, 0.6 * ALPHA)
    assert judged(once).verdict == "derived"
    assert judged(once, replace(HIGH, depth="linear")).verdict == "inconclusive"
    assert judged(once, replace(once, depth="linear")).p_value == pytest.approx(1.2 * ALPHA)


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


@pytest.mark.parametrize("test", [LOW, HIGH])
def test_trouble_with_the_answers_outweighs_every_test(test: Finding) -> None:
    candidate = judged(test, deviation=0.0, trouble="the line went dead")
    assert candidate.verdict == "inconclusive"
    assert candidate.reason == "no evidence: the line went dead"
    assert {finding.decides for finding in candidate.findings} == {"nothing"}
    numbers = (candidate.harm_ratio, candidate.harm_ratio_ci, candidate.p_value, candidate.margin)
    assert numbers == (None, None, None, None)
    assert candidate.findings[0].statistic == test.statistic


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


# A margin too low to tell copies from strangers.


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


def test_the_same_answers_are_the_same_whatever_the_margin() -> None:
    low = a_test(0.02, 0.01, 0.05, 1e-9)
    assert judged(low, deviation=0.0, margin=Margin(0.0, "registry")).verdict == "same"


def test_an_unusable_margin_makes_nobody_independent() -> None:
    unusable = Margin(0.001, "registry")
    assert judged(a_test(0.5, 0.45, 0.55, 0.9), margin=unusable).verdict == "inconclusive"
    assert judged(HIGH, margin=unusable).verdict == "independent"


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


def test_the_candidate_says_what_its_margin_rests_on() -> None:
    document = judged(LOW, margin=margin_from([0.9, 0.64, 1.0])).to_dict()
    assert document["margin"] == 0.64
    assert document["margin_source"] == "registry"
    assert document["margin_pairs"] == 3
    assert document["margin_floor"] == 0.25


# Descent, or a common origin.


def test_only_a_model_trained_from_scratch_is_descended_from() -> None:
    stated = Kinship(from_scratch=frozenset({"ours"}))
    from_scratch, unknown = judged(LOW, kinship=stated), judged(LOW)
    assert (from_scratch.relation, unknown.relation) == ("descends", "shares_origin")
    assert unknown.reason.endswith("one descends from the other, or both from a third")
    contradicted = replace(stated, parents={"ours": "theirs"})
    assert judged(LOW, kinship=contradicted).relation == "shares_origin"
    for candidate in (judged(HIGH), judged(LOW, deviation=0.0), judged(SILENT)):
        assert candidate.relation is None


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


# For whom a depth speaks, where relatives are registered.

FAMILY = a_test(0.1, 0.05, 0.2, 1e-12, "stage1", speaks_for="family", joint_p=1e-12)
OWN = a_test(
    0.2,
    0.1,
    0.4,
    1e-9,
    "individual features",
    speaks_for="individual",
    joint_p=1e-9,
    margin=Margin(0.45, bound=INF),
)
NOT_OWN = replace(OWN, statistic=0.8, interval=(0.7, 0.95), p_value=0.4, joint_p=0.4)
RELATED = Kinship(parents={"ours": "base", "sibling": "base"})


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


def test_equal_answers_are_the_same_whoever_is_related() -> None:
    assert judged(FAMILY, NOT_OWN, deviation=0.0, kinship=RELATED).verdict == "same"


def test_individual_probes_that_do_harm_say_nothing_of_independence() -> None:
    early = replace(HIGH, depth="stage1", speaks_for="family", joint_p=0.9)
    candidate = judged(early, NOT_OWN, kinship=RELATED)
    assert candidate.verdict == "independent"
    parts = {one.depth: one.decides for one in candidate.findings}
    assert parts == {"stage1": "independent", "individual features": "nothing", None: "nothing"}
    assert judged(NOT_OWN, kinship=RELATED).verdict == "inconclusive"


def test_an_unusable_margin_of_individual_probes_shows_no_descent() -> None:
    unusable = replace(OWN, margin=Margin(0.05, "registry", bound=INF))
    assert judged(FAMILY, unusable, kinship=RELATED).verdict == "inconclusive"


def test_depths_that_share_one_statistic_are_not_corrected_again() -> None:
    """The p-value over depths is given with them; Holm's correction would count them twice."""
    other = replace(HIGH, depth="late", speaks_for="family", p_value=0.8, joint_p=0.95)
    candidate = judged(replace(FAMILY, p_value=5e-4, joint_p=9e-4), other)
    assert candidate.verdict == "derived"
    assert candidate.p_value == pytest.approx(9e-4)
    separate = judged(replace(FAMILY, p_value=9e-4, joint_p=None), other)
    assert separate.p_value == pytest.approx(1.8e-3)


def test_the_nearest_member_of_a_family_is_the_one_that_its_own_probes_name() -> None:
    kinship = Kinship(parents={"child": "base"})
    nearer = replace(FAMILY, statistic=0.01, interval=(0.005, 0.02))
    found = weigh(
        {"base": [nearer], "child": [FAMILY, OWN]}, family=2, alpha=ALPHA, kinship=kinship
    )
    assert [one.name for one in found] == ["child", "base"]
    assert [one.relation for one in found] == ["descends", "shares_origin"]


# Resemblance, where relatives were asked the panel too.

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


# Many candidates.


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


# The verdict over all.


def overall(*, kinship: Kinship | None = None, **settings: Any) -> Any:
    """Judges a constant network's answers to two fingerprints."""
    names = {"a": make_fingerprint(make_model(1)), "b": make_fingerprint(make_model(2))}
    answers = Answers(output=OutputSpec(classes=5), values={}, identity=Identity(), queries=3)
    return judge(names, answers, kinship=kinship or Kinship(), **settings)


def test_without_answers_nothing_is_said_of_anybody() -> None:
    result = overall()
    assert (result.verdict, result.best, result.queries) == ("inconclusive", None, 3)
    assert "missing or not finite" in result.reason
    assert result.to_dict()["alpha"] == 0.001


def test_references_are_judged_but_never_the_verdict() -> None:
    result = overall(kinship=Kinship(references=frozenset("ab")))
    assert len(result.candidates) == 2
    assert result.reason == "there is no registered model to compare with"


def test_references_that_were_not_asked_leave_nothing_open_and_still_count() -> None:
    fingerprint = fingerprint_of("cnn")
    answers = ask(ModelSuspect(model_of("cnn", 1)), questions_for({"ours": fingerprint}))

    def result(*references: str) -> Verification:
        return judge(
            {"ours": fingerprint},
            answers,
            kinship=Kinship(references=frozenset(references)),
            compatible=["ours", "public"],
        )

    assert (result().verdict, result("public").verdict) == ("inconclusive", "independent")
    assert result().candidates == result("public").candidates
