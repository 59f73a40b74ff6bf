"""Policies hold only on evidence."""

from __future__ import annotations

from typing import Any

import pytest

from cli.policy import judge
from tests.cli.fakes import candidate, verification

VERDICTS = ("same", "derived", "independent", "inconclusive")


@pytest.mark.parametrize(
    ("verdict", "expect", "forbid"),
    [("same", 0, 1), ("derived", 0, 1), ("independent", 1, 0), ("inconclusive", 4, 4)],
)
def test_expect_and_forbid_are_opposites_except_without_evidence(
    verdict: Any, expect: int, forbid: int
) -> None:
    result = verification(candidate("ours", verdict))
    assert judge(result, expect=["ours"]).code == expect
    assert judge(result, forbid=["ours"]).code == forbid


@pytest.mark.parametrize("verdict", VERDICTS)
def test_without_a_policy_only_an_inconclusive_verdict_is_not_answered(verdict: Any) -> None:
    code = judge(verification(candidate("ours", verdict))).code
    assert code == (4 if verdict == "inconclusive" else 0)


def test_a_registry_without_candidates_is_inconclusive_whatever_is_asked() -> None:
    nobody = verification()
    assert judge(nobody).code == 4
    assert judge(nobody, forbid=["ours"]).code == 4
    assert judge(nobody, expect=["ours"]).code == 4


def test_a_verdict_without_candidates_is_no_pass_even_if_it_claims_to_be_one() -> None:
    assert judge(verification(verdict="independent")).code == 4


def test_a_model_that_was_not_compared_is_never_a_pass() -> None:
    result = verification(candidate("theirs", "independent"))
    assert judge(result, forbid=["ours"]).code == 4


def test_a_policy_is_about_the_model_it_names_not_about_the_best() -> None:
    result = verification(candidate("theirs", "derived"), candidate("ours", "independent"))
    assert judge(result, forbid=["ours"]).code == 0
    assert judge(result, expect=["ours"]).code == 1
    assert judge(result, forbid=["theirs"]).code == 1


def test_no_evidence_about_the_named_model_outweighs_a_clear_verdict_for_another() -> None:
    result = verification(candidate("theirs", "derived"), candidate("ours", "inconclusive"))
    assert judge(result, forbid=["ours"]).code == 4
    assert judge(result, expect=["ours"]).code == 4


def test_a_failed_policy_outweighs_an_undecided_one() -> None:
    result = verification(candidate("ours", "derived"), candidate("theirs", "inconclusive"))
    assert judge(result, forbid=["theirs", "ours"]).code == 1


def test_each_policy_that_does_not_hold_gives_its_reason() -> None:
    result = verification(candidate("ours", "derived"), candidate("theirs", "inconclusive"))
    judged = judge(result, expect=["theirs"], forbid=["ours"])
    assert judged.reasons == (
        "--forbid ours: the suspect is derived from it",
        "--expect theirs: nothing can be concluded about this model",
    )


def test_a_common_origin_neither_passes_nor_accuses_and_says_how_to_settle_it() -> None:
    result = verification(candidate("ours", "derived", relation="shares_origin"))
    assert judge(result).code == 0
    for judged in (judge(result, expect=["ours"]), judge(result, forbid=["ours"])):
        assert judged.code == 4
        (reason,) = judged.reasons
        assert "the suspect shares an origin with it" in reason
        assert "'fp register MODEL --name ours --from-scratch'" in reason


def test_who_has_the_very_weights_of_a_forbidden_model_fails_whatever_it_answers() -> None:
    result = verification(candidate("ours", "inconclusive", identical_weights=True))
    assert judge(result, expect=["ours"]).code == 4
    judged = judge(result, forbid=["ours"])
    assert judged.code == 1
    assert judged.reasons == ("--forbid ours: the suspect has its very weights",)


def test_a_limited_comparison_answers_policies_on_the_models_it_was_limited_to() -> None:
    """The verdict over all is inconclusive where compatible models were not asked."""
    result = verification(candidate("ours", "independent"), verdict="inconclusive", best=None)
    assert judge(result).code == 4
    assert judge(result, forbid=["ours"]).code == 0
    assert judge(result, expect=["ours"]).code == 1
    doubtful = verification(candidate("theirs", "inconclusive"), candidate("ours", "independent"))
    assert judge(doubtful, forbid=["ours"]).code == 4


def test_a_reference_that_a_suspect_derives_from_leaves_no_policy_open() -> None:
    public = candidate("public", "derived", reference=True)
    ours = candidate("ours", "independent")
    result = verification(public, ours, verdict="inconclusive", best=None)
    assert judge(result, forbid=["ours"]).code == 0
    assert judge(result, expect=["ours"]).code == 1
    assert judge(result).code == 4
