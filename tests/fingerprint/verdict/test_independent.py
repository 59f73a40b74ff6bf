"""Who is called independent, and what speaks against it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from tests.support.findings import HIGH, LOW, NOT_OWN, RELATED, a_test, judged


def still(kind: str, *, answered: int) -> Finding:
    """A kind of probe without evidence: nothing moved, or nothing was answered."""
    detail = {"missing": "there is none", "answered": answered, "probes": 24}
    return Finding(test="harm_ratio", depth=kind, detail=detail)


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


def test_individual_probes_that_do_harm_say_nothing_of_independence() -> None:
    early = replace(HIGH, depth="stage1", speaks_for="family", joint_p=0.9)
    candidate = judged(early, NOT_OWN, kinship=RELATED)
    assert candidate.verdict == "independent"
    parts = {one.depth: one.decides for one in candidate.findings}
    assert parts == {"stage1": "independent", "individual features": "nothing", None: "nothing"}
    assert judged(NOT_OWN, kinship=RELATED).verdict == "inconclusive"


def test_an_unusable_margin_makes_nobody_independent() -> None:
    unusable = Margin(0.001, "registry")
    assert judged(a_test(0.5, 0.45, 0.55, 0.9), margin=unusable).verdict == "inconclusive"
    assert judged(HIGH, margin=unusable).verdict == "independent"
