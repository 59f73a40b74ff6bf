"""Equality with what was recorded, as far as the answers tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint.answers import Answers
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.equality import Equality
from fingerprint.evidence.finding import Finding
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.probes.probe import Fingerprint
from fingerprint.questions import question_id
from tests.support.fingerprints import make_deep, make_fingerprint, make_model

FINGERPRINT = make_fingerprint(make_model(3), probes=12)
RECORDED = np.stack([probe.answer for probe in FINGERPRINT.probes])
Rows = NDArray[np.floating]


def softmax(rows: Rows) -> Rows:
    powers: Rows = np.exp(rows - rows.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def recording(rows: Rows) -> Fingerprint:
    """The fingerprint of a source that gave these answers to the harmless inputs."""
    probes = tuple(
        replace(probe, answer=row.astype(np.float32))
        for probe, row in zip(FINGERPRINT.probes, rows, strict=True)
    )
    output = OutputSpec(classes=rows.shape[1])
    return replace(FINGERPRINT, probes=probes, output=output)


def measured(
    rows: Rows, kind: AnswerKind = "logits", fingerprint: Fingerprint = FINGERPRINT
) -> tuple[Finding, ...]:
    """The finding on a suspect that gives these answers to the harmless inputs."""
    answered = np.isfinite(rows).all(axis=1)
    values = {
        question_id(image): row.astype(np.float32)
        for image, row, there in zip(FINGERPRINT.harmless, rows, answered, strict=True)
        if there
    }
    answers = Answers(output=OutputSpec(classes=rows.shape[1], kind=kind), values=values)
    return Equality().measure("ours", fingerprint, answers, Calibration())


def equal(rows: Rows, kind: AnswerKind = "logits") -> bool:
    (finding,) = measured(rows, kind)
    return bool(finding.detail["equal"])


def test_recorded_answers_equal_themselves_shifted_or_as_probabilities() -> None:
    assert equal(RECORDED)
    assert equal(RECORDED + 7.0)
    assert equal(softmax(RECORDED), "probabilities")
    assert not equal(1.01 * RECORDED)
    assert not equal(softmax(1.01 * RECORDED), "probabilities")


@pytest.mark.parametrize("decimals", [2, 3, 4])
def test_rounded_answers_are_equal_as_far_as_they_tell(decimals: int) -> None:
    shares = softmax(RECORDED)
    assert equal(np.round(shares, decimals), "probabilities")
    assert equal(np.round(RECORDED, decimals), "logits")
    (finding,) = measured(np.round(shares, decimals), "probabilities")
    assert finding.detail["rounded_to"] == pytest.approx(10.0**-decimals)
    other = shares + 10.0**-decimals * np.array([1, -1, 0, 0, 0])
    assert not equal(np.round(other, decimals), "probabilities")


@pytest.mark.parametrize("decimals", [0, 1])
def test_one_decimal_says_too_little_to_be_equal_by(decimals: int) -> None:
    (finding,) = measured(np.round(softmax(RECORDED), decimals), "probabilities")
    assert (finding.detail["equal"], finding.detail["explained"]) == (False, True)


@pytest.mark.parametrize("size", [1e3, 1e4])
def test_answers_that_are_coarse_and_close_for_being_saturated_prove_nothing(size: float) -> None:
    """A saturated source answers as a relative of other weights does, when both are rounded."""
    logits = size * RECORDED
    for decimals in (0, 1, 2, 6):
        (finding,) = measured(
            np.round(softmax(logits), decimals), "probabilities", recording(logits)
        )
        assert (finding.detail["equal"], finding.detail["explained"]) == (False, True)
        assert finding.detail["telling"] < 4


def test_coarse_answers_prove_nothing_even_within_the_tolerance() -> None:
    fingerprint = replace(recording(1e3 * RECORDED), tolerance=1e-3)
    (finding,) = measured(np.round(1e3 * RECORDED), "logits", fingerprint)
    assert finding.statistic is not None
    assert finding.statistic <= fingerprint.tolerance
    assert (finding.detail["equal"], finding.detail["explained"]) == (False, True)


def test_a_source_of_few_levels_equals_itself_where_these_say_more_than_a_label() -> None:
    coarse = np.round(RECORDED / 0.3) * 0.3
    (finding,) = measured(coarse, "logits", recording(coarse))
    assert (finding.detail["equal"], finding.detail["rounded_to"]) == (True, None)
    hard = np.eye(5)[RECORDED.argmax(axis=1)]
    assert not measured(hard, "logits", recording(hard))[0].detail["equal"]


def test_two_logits_tell_by_their_difference() -> None:
    two = RECORDED[:, :2]
    assert measured(two, "logits", recording(two))[0].detail["equal"]
    signs = np.sign(two - two.mean(axis=1, keepdims=True))
    assert not measured(signs, "logits", recording(signs))[0].detail["equal"]


@pytest.mark.parametrize(("telling", "proves"), [(3, False), (4, True)])
def test_four_answers_must_say_more_than_their_label(telling: int, proves: bool) -> None:
    logits = RECORDED.copy()
    logits[telling:] *= 1e4
    shares = softmax(logits)
    (finding,) = measured(np.round(shares, 3), "probabilities", recording(logits))
    assert (finding.detail["telling"], finding.detail["equal"]) == (telling, proves)


def test_labels_and_another_label_space() -> None:
    labels = np.eye(5)[RECORDED.argmax(axis=1)]
    (finding,) = measured(labels, "labels")
    assert (finding.statistic, finding.detail["label_agreement"]) == (0.0, 1.0)
    (finding,) = measured(labels[::-1], "labels")
    assert finding.statistic == np.inf
    assert measured(RECORDED[:, :4]) == ()


def test_classes_that_are_told_by_words_cannot_be_held_against_the_recorded_ones() -> None:
    shares = softmax(RECORDED).astype(np.float32)
    values = {question_id(one): row for one, row in zip(FINGERPRINT.harmless, shares, strict=True)}
    for by_name in (True, False):
        output = OutputSpec(classes=shares.shape[1], kind="probabilities", by_name=by_name)
        answers = Answers(output=output, values=values)
        found = Equality().measure("ours", FINGERPRINT, answers, Calibration())
        assert len(found) == (0 if by_name else 1)
        assert OutputSpec.from_dict(output.to_dict()) == output
    assert OutputSpec(classes=2).to_dict() == {"classes": 2, "kind": "logits"}


def test_an_answer_that_is_missing_is_not_equal_and_not_counted() -> None:
    rows = RECORDED.copy()
    rows[2] = np.nan
    (finding,) = measured(rows)
    assert (finding.used, finding.detail["equal"]) == (11, False)
    assert finding.to_dict()["statistic"] is None
    assert finding.detail["label_agreement"] == 1.0
    assert measured(np.full_like(RECORDED, np.nan)) == ()


def test_a_finding_is_read_as_it_was_written() -> None:
    (finding,) = measured(RECORDED)
    decided = replace(finding, decides="kin")
    assert Finding.from_dict(decided.to_dict()) == decided


DEEP = make_deep(make_model(3), panel=8)


@pytest.mark.parametrize(
    ("replaced", "share"), [(0, 1.0), (4, 0.5), (8, 0.0)], ids=["none", "half", "all"]
)
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_the_share_of_the_panel_that_got_the_recorded_answers_is_told(
    replaced: int, share: float, kind: AnswerKind
) -> None:
    """Whoever knows the probes may replay what was recorded, and answer the rest otherwise."""
    rows = np.concatenate([[probe.answer for probe in DEEP.probes], DEEP.panel_answers])
    rows[-replaced or len(rows) :] *= -1
    if kind == "probabilities":
        rows = softmax(rows).round(3)
    asked = np.concatenate([DEEP.harmless, DEEP.panel])
    values = {
        question_id(one): row.astype(np.float32) for one, row in zip(asked, rows, strict=True)
    }
    answers = Answers(output=OutputSpec(classes=5, kind=kind), values=values)
    (finding,) = Equality().measure("ours", DEEP, answers, Calibration())
    assert finding.detail["equal"]
    assert finding.detail["panel"] == share


@pytest.mark.parametrize(("spread", "telling"), [(1.0, True), (1e-3, False)])
def test_who_answers_everything_alike_is_equal_for_that(spread: float, telling: bool) -> None:
    deep = make_deep(make_model(3), seed="seed", panel=96)
    own = np.asarray(deep.panel_answers)
    commonest = np.arange(own.shape[1])
    rows = (commonest + spread * (own - own.mean(axis=0)) / own.std()).astype(np.float32)
    known = replace(deep, probes=(), panel_answers=rows, tolerance=1e-4)
    off = rows + np.float32(1e-5) * np.abs(rows).max() * np.eye(rows.shape[1], dtype=np.float32)[0]
    values = {question_id(one): row for one, row in zip(known.panel, off, strict=True)}
    answers = Answers(output=known.output, values=values)
    (found,) = Equality().measure("ours", known, answers, Calibration())
    assert found.detail["explained"]
    assert found.detail["told_apart"] is telling
