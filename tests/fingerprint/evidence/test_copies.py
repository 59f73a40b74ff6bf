"""Answers of usual copies: who gives them, and who stays away."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from fingerprint import verify
from fingerprint.answers import Answers
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.copies import Copies
from fingerprint.evidence.finding import Finding
from fingerprint.kinship import Kinship
from fingerprint.lab.data import TASKS
from fingerprint.lab.modifications import fine_tuned, pruned, quantised
from fingerprint.lab.training import Settings
from fingerprint.network.model import Model
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.probes.extraction import extract
from fingerprint.probes.panel import PANEL
from fingerprint.probes.probe import CopyAnswers, Fingerprint
from fingerprint.questions import question_id
from fingerprint.verification import Candidate
from tests.support.digits import digits, network
from tests.support.extracted import SEED, loaded
from tests.support.fingerprints import make_fingerprint, make_model

Rows = NDArray[np.float32]


def drawn(seed: int, size: float, *shape: int) -> Rows:
    rows = np.random.default_rng(seed).normal(size=(*shape, PANEL, 5))
    return (size * rows).astype(np.float32)


OWN = drawn(0, 3, 1)[0]
RELATIVE = OWN + drawn(1, 1, 1)[0]
COPIES = OWN + drawn(2, 2, 3)
BESIDE = COPIES + drawn(3, 1, 3)
ASKED = 32


def recorded(
    own: Rows = OWN, relative: Rows = RELATIVE, copies: Rows = COPIES, beside: Rows = BESIDE
) -> Fingerprint:
    names = ("first", "second", "third")
    known = CopyAnswers(names, copies[:, :ASKED], relative[:ASKED], beside[:, :ASKED])
    made = make_fingerprint(make_model(3))
    return replace(made, panel_answers=own, copies=known, tolerance=1e-4)


FINGERPRINT = recorded()


def measured(
    rows: Rows,
    kind: AnswerKind = "logits",
    fingerprint: Fingerprint = FINGERPRINT,
    *,
    by_name: bool = False,
) -> tuple[Finding, ...]:
    values = {
        question_id(image): row.astype(np.float32)
        for image, row in zip(fingerprint.panel, rows, strict=True)
        if np.isfinite(row).all()
    }
    output = OutputSpec(classes=rows.shape[1], kind=kind, by_name=by_name)
    answers = Answers(output=output, values=values)
    return Copies().measure("ours", fingerprint, answers, Calibration())


def is_equal(*arguments: Any, **more: Any) -> bool:
    (finding,) = measured(*arguments, **more)
    return bool(finding.detail["equal"])


def test_a_copy_is_known_by_its_own_answers() -> None:
    for place, name in enumerate(("first", "second", "third")):
        (found,) = measured(COPIES[place] + 7)
        assert (found.detail["copy"], found.detail["equal"]) == (name, True)
        assert found.statistic == pytest.approx(0, abs=1e-5)
        assert (found.used, found.speaks_for, found.p_value) == (ASKED, "individual", None)


def test_nobody_else_is_a_copy() -> None:
    for rows in (OWN, RELATIVE, *BESIDE, COPIES[0] + 0.01 * (RELATIVE - OWN)):
        assert not is_equal(rows)


def test_the_farthest_answer_counts_as_a_share_of_the_distance_to_the_nearest_relative() -> None:
    near = COPIES[0] + drawn(4, 0.3, 1)[0]
    (found,) = measured(near)

    def distances(one: Rows, other: Rows) -> Rows:
        apart = (one - other)[:ASKED]
        return np.linalg.norm(apart - apart.mean(axis=1, keepdims=True), axis=1)

    pairs = ((OWN, RELATIVE), (COPIES[0], RELATIVE), (COPIES[0], BESIDE[0]))
    least = min(np.median(distances(*pair)) for pair in pairs)
    assert found.statistic == pytest.approx(distances(near, COPIES[0]).max() / least, rel=1e-5)


@pytest.mark.parametrize("who", ["relative", "copied relative", "copy that is the relative"])
def test_where_a_relative_answers_as_the_copy_does_nobody_is_told_from_it(who: str) -> None:
    """int8 weights of a child may be those of a parent that was rounded before."""
    near = COPIES + 1e-6
    fingerprint = {
        "relative": recorded(relative=OWN + 1e-6 * RELATIVE),
        "copied relative": recorded(beside=near),
        "copy that is the relative": recorded(relative=COPIES[0]),
    }[who]
    assert not is_equal(COPIES[0] + 1e-5 * RELATIVE, fingerprint=fingerprint)


def test_a_copy_that_answers_everything_alike_is_nobody() -> None:
    dead = np.ones_like(COPIES)
    assert not is_equal(dead[0], fingerprint=recorded(copies=dead, beside=dead))


def test_probabilities_say_as_much_as_logits() -> None:
    assert is_equal(softmax(COPIES[1], axis=1), "probabilities")
    assert not is_equal(softmax(COPIES[1] + 0.01 * RELATIVE, axis=1), "probabilities")


@pytest.mark.parametrize("decimals", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [1, 10, 100])
def test_a_sibling_that_rounds_or_is_saturated_is_not_taken_for_a_copy(
    decimals: int, size: float
) -> None:
    sibling = size * (COPIES[0] + 0.05 * (RELATIVE - OWN))
    saturated = recorded(size * OWN, size * RELATIVE, size * COPIES, size * BESIDE)
    shares = softmax(sibling.astype(np.float64), axis=1)
    for rows in (shares, np.round(shares, decimals)):
        assert not is_equal(rows, "probabilities", saturated)
    assert not is_equal(np.round(sibling, decimals), fingerprint=saturated)


def test_there_is_no_finding_where_answers_cannot_be_compared() -> None:
    labels = np.eye(5, dtype=np.float32)[OWN.argmax(axis=1)]
    assert measured(labels, "labels") == ()
    assert measured(softmax(OWN, axis=1), "top-k") == ()
    assert measured(OWN, by_name=True) == ()
    assert measured(OWN[:, :4]) == ()
    assert measured(OWN, fingerprint=replace(FINGERPRINT, copies=None)) == ()


def test_answers_that_are_missing_are_no_evidence() -> None:
    rows = COPIES[0].copy()
    rows[20:] = np.nan
    (found,) = measured(rows)
    assert (found.used, found.detail["equal"]) == (20, True)
    rows[15:] = np.nan
    (found,) = measured(rows)
    assert (found.missing, found.statistic) == ("15 panel inputs were answered, 16 needed", None)


# Real networks: a child with a new head, which a sibling began with as well.

_FEW = Settings(epochs=1, lr=2e-3, optimizer="sgd", scheduled=False)
_NAMES = Kinship(parents={"ours": "base"})


@cache
def _child(part: int) -> Model:
    five = TASKS["five classes"].of(digits())
    images, labels = five.train_images[part::2], five.train_labels[part::2]
    data = replace(five, train_images=images, train_labels=labels)
    return loaded(fine_tuned(network("cnn"), data, _FEW, seed=7))


@cache
def _fingerprint() -> Fingerprint:
    parent = loaded(network("cnn"))
    return extract(_child(0), seed=SEED, probes=24, relatives={"base": parent})


def _candidate(suspect: Model) -> Candidate:
    (candidate,) = verify(suspect, {"ours": _fingerprint()}, kinship=_NAMES).candidates
    return candidate


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_pruned_copy_of_a_gentle_child_descends_from_it(share: float) -> None:
    candidate = _candidate(loaded(pruned(_child(0).module, share=share)))
    assert (candidate.verdict, candidate.relation) == ("derived", "descends")
    assert f"equal those of ours, pruned by {share:.0%}".replace("%", " %") in candidate.reason
    (found,) = (one for one in candidate.findings if one.test == "copies")
    assert found.decides == "kin"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_a_sibling_with_the_same_head_does_not_whether_pruned_or_not(share: float) -> None:
    sibling = _child(1)
    candidate = _candidate(loaded(pruned(sibling.module, share=share)) if share else sibling)
    assert candidate.verdict not in ("same", "derived")
    (found,) = (one for one in candidate.findings if one.test == "copies")
    assert (found.detail["equal"], found.decides) == (False, "nothing")


def _parent_on_a_grid(part: int, parent: Model) -> Model:
    data = digits()
    images, labels = data.train_images[part::2], data.train_labels[part::2]
    settings = Settings(epochs=1, lr=1e-5, optimizer="adamw", scheduled=False)
    half = replace(data, train_images=images, train_labels=labels)
    return loaded(fine_tuned(parent.module, half, settings, seed=7))


def test_whoever_is_rounded_back_to_its_parent_accuses_neither_it_nor_a_sibling() -> None:
    """The parent's weights lay on the grid to which those of a gentle child are rounded."""
    parent = loaded(quantised(network("mlp")))
    child, sibling = (_parent_on_a_grid(part, parent) for part in (0, 1))
    made = extract(child, seed=SEED, probes=24, relatives={"base": parent})
    for suspect in (parent, sibling, loaded(quantised(sibling.module))):
        (candidate,) = verify(suspect, {"ours": made}, kinship=_NAMES).candidates
        assert candidate.verdict not in ("same", "derived")
