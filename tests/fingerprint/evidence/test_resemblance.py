"""How alike two models arrange their answers, whatever their classes are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from fingerprint.answers import Answers
from fingerprint.distances import top_k
from fingerprint.evidence import resemblance
from fingerprint.evidence.calibration import Calibration, PairRatio
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.resemblance import (
    Alignment,
    Panel,
    Resemblance,
    compare,
    conformal_p,
    paired_difference,
    rank,
    resemblance_margin,
)
from fingerprint.network.run import run
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.questions import question_id
from tests.support.fingerprints import make_fingerprint, make_model

Rows = NDArray[np.floating]
COUNT = 96


def answers_of(seed: int, classes: int = 10, count: int = COUNT) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, classes))


def aligned(first: Rows, second: Rows) -> Alignment:
    found = compare(Panel.of(first), Panel.of(second))
    assert found is not None
    return found


def turned(classes: int, seed: int = 5) -> Rows:
    """A random orthogonal matrix that leaves rows centred over classes centred."""
    basis, _ = np.linalg.qr(np.column_stack([np.ones(classes), answers_of(seed, classes, classes)]))
    inside = basis[:, 1:classes]
    rotation, _ = np.linalg.qr(answers_of(seed + 1, classes - 1, classes - 1))
    matrix: Rows = inside @ rotation @ inside.T
    return matrix


def unbiased_hsic(K: Rows, L: Rows) -> float:
    """Song et al. (2007), by its sums over pairs, triples and quadruples of different inputs."""
    n = len(K)
    places = range(n)
    pairs = np.mean([K[i, j] * L[i, j] for i, j in permutations(places, 2)])
    triples = np.mean([K[i, j] * L[i, k] for i, j, k in permutations(places, 3)])
    quadruples = np.mean([K[i, j] * L[k, m] for i, j, k, m in permutations(places, 4)])
    return float(pairs - 2 * triples + quadruples)


def test_products_of_u_centred_kernels_are_the_unbiased_hsic() -> None:
    kernels = [rows @ rows.T for rows in (answers_of(1, 3, 7), answers_of(2, 4, 7))]
    first, second = map(resemblance._u_centred, kernels)
    assert (first * second).sum() / (7 * 4) == pytest.approx(unbiased_hsic(*kernels))


def test_its_mean_over_all_pairings_of_inputs_is_zero() -> None:
    first, second = answers_of(1, 3, 6) + 5, answers_of(2, 4, 6) ** 2
    arranged = [resemblance._arrangement(rows @ rows.T, 3) for rows in (first, second)]
    products = [
        (arranged[0] * arranged[1][np.ix_(order, order)]).sum()
        for order in map(list, permutations(range(6)))
    ]
    assert np.mean(products) == pytest.approx(0.0, abs=1e-12)
    assert np.std(products) > 1e-3


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: 7.5 * rows,
        lambda rows: rows + answers_of(9, 1),
        lambda rows: rows + np.arange(10.0),
        lambda rows: rows[:, ::-1],
        lambda rows: rows @ turned(10),
    ],
    ids=["scaled", "shifted over classes", "other biases", "classes renamed", "turned"],
)
def test_what_does_not_change_an_arrangement(change: Callable[[Rows], Rows]) -> None:
    rows = answers_of(1) - answers_of(1).mean(axis=1, keepdims=True)
    other = 0.5 * rows + answers_of(2)
    assert aligned(rows, change(rows)).value == pytest.approx(1.0)
    assert aligned(change(rows), other).value == pytest.approx(aligned(rows, other).value)


def test_a_model_equals_itself_and_its_error_is_nothing() -> None:
    found = aligned(answers_of(1), answers_of(1))
    assert (found.value, found.error) == pytest.approx((1.0, 0.0), abs=1e-7)
    assert found.used == COUNT


def test_strangers_lie_around_zero_and_their_intervals_hold_it() -> None:
    found = [aligned(answers_of(seed), answers_of(seed + 1000, 7)) for seed in range(30)]
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 0.02
    assert np.mean([one.low <= 0 <= one.high for one in found]) > 0.9
    assert np.mean([one.p_value(0.0) < 0.05 for one in found]) < 0.2


def test_errors_are_at_least_what_other_inputs_would_change() -> None:
    def pair(seed: int) -> tuple[Rows, Rows]:
        return answers_of(seed), answers_of(seed) + 0.7 * answers_of(seed + 5000)

    found = [aligned(*pair(seed)) for seed in range(30)]
    spread = float(np.std([one.value for one in found]))
    assert 0.7 < np.mean([one.error for one in found]) / spread < 4
    mean = np.mean([one.value for one in found])
    assert 0.4 < mean < 0.95
    assert np.mean([one.low < mean < one.high for one in found]) > 0.85


def test_classes_may_differ_in_name_and_number() -> None:
    rows = answers_of(1, 12)
    fewer = rows @ answers_of(3, 5, 12)
    assert aligned(rows, fewer).value > 0.3
    assert abs(aligned(rows, answers_of(4, 5)).value) < 0.15


def test_a_kind_of_input_that_both_answer_unlike_the_others_makes_nobody_alike() -> None:
    kinds = np.array(Panel.of(answers_of(1)).kinds)
    jump = 20.0 * (kinds == "binary")[:, None]
    first, second = answers_of(1) + jump * answers_of(7, count=1), answers_of(2)
    assert abs(aligned(first, second + jump * answers_of(8, count=1)).value) < 0.15


@pytest.mark.parametrize(
    ("kind", "least"), [("probabilities", 0.99), ("top-k", 0.5), ("labels", 0.2)]
)
def test_kinds_that_say_less_leave_something(kind: AnswerKind, least: float) -> None:
    rows = 2 * answers_of(1)
    shown = softmax(rows, axis=1)
    if kind == "top-k":
        shown = top_k(shown, 5)
    found = compare(Panel.of(shown, kind), Panel.of(rows))
    other = compare(Panel.of(shown, kind), Panel.of(answers_of(2)))
    assert found is not None
    assert other is not None
    assert found.value > least > 0.15 > abs(other.value)


def test_missing_answers_are_left_out_on_both_sides() -> None:
    rows, other = answers_of(1), answers_of(1) + answers_of(2)
    holes = np.array(rows)
    holes[[3, 50]] = np.nan
    full = aligned(rows, other).value
    found = compare(Panel.of(holes), Panel.of(other))
    assert found is not None
    assert found.used == COUNT - 2
    turned_round = compare(Panel.of(other), Panel.of(holes))
    assert turned_round is not None
    assert turned_round.value == pytest.approx(found.value)
    assert found.value == pytest.approx(full, abs=0.1)
    assert rank(Panel.of(holes), {"other": other})[0][1] == pytest.approx(found.value)


@pytest.mark.parametrize("rows", [np.ones((COUNT, 10)), np.full((COUNT, 10), np.nan)])
def test_constant_or_missing_answers_say_nothing(rows: Rows) -> None:
    assert compare(Panel.of(rows), Panel.of(answers_of(1))) is None
    assert paired_difference(Panel.of(answers_of(2)), Panel.of(rows), Panel.of(rows)) is None
    assert np.isnan(rank(Panel.of(rows), {"other": answers_of(1)})[0][1])


def test_the_nearer_of_two_is_told_apart() -> None:
    near, far = answers_of(1), answers_of(2)
    suspect = Panel.of(near + 0.5 * answers_of(3))
    found = paired_difference(suspect, Panel.of(near), Panel.of(far))
    back = paired_difference(suspect, Panel.of(far), Panel.of(near))
    same = paired_difference(suspect, Panel.of(near), Panel.of(2 * near))
    assert found is not None
    assert back is not None
    assert same is not None
    assert found.low > 0
    assert (back.value, back.low) == pytest.approx((-found.value, -found.high))
    assert (same.value, same.error) == pytest.approx((0.0, 0.0), abs=1e-7)


def test_ranking_is_comparing_in_order() -> None:
    suspect = answers_of(0)
    models = {str(seed): suspect + seed * answers_of(seed) for seed in range(1, 6)}
    models["other classes"] = answers_of(9, 4)
    models["constant"] = np.zeros((COUNT, 10))
    ranked = rank(Panel.of(suspect), models)
    assert [name for name, _ in ranked[:3]] == ["1", "2", "3"]
    assert ranked[-1][0] == "constant"
    for name, value in ranked[:-1]:
        assert value == pytest.approx(aligned(suspect, models[name]).value)


def test_linearity_is_seen_in_negatives() -> None:
    inputs = np.array(answers_of(1, 30, COUNT))
    inputs[1::2] = -inputs[::2]
    weights = answers_of(2, 10, 30)
    assert Panel.of(inputs @ weights + 3).linearity == pytest.approx(1.0)
    even = Panel.of(np.abs(inputs) @ weights)
    assert even.linearity == pytest.approx(1.0)  # to be on the safe side
    assert abs(Panel.of(np.maximum(inputs**3 + inputs**2, 0) @ weights).linearity) < 0.6
    assert abs(Panel.of(answers_of(3)).linearity) < 0.2
    assert Panel.of(answers_of(3), kinds=("uniform",) * COUNT).linearity == 0.0


def test_margins_lie_above_every_stranger_known_and_never_below_the_default() -> None:
    default = resemblance_margin("logits", 10)
    assert (default.source, default.pairs, default.floor) == ("default", 0, 1.0)
    assert resemblance_margin("logits", 10, known=[0.1]).value == default.value
    raised = resemblance_margin("logits", 10, known=[0.1, 0.8, 0.3])
    assert (raised.value, raised.source, raised.pairs) == (0.8, "registry", 3)
    assert resemblance_margin("logits", 10, linearity=0.6).value == pytest.approx(0.75)
    assert resemblance_margin("logits", 10, linearity=0.99).value == 1.0
    assert resemblance_margin("logits", 2).value > default.value


def test_a_conformal_p_value_counts_the_strangers_that_are_as_near() -> None:
    assert conformal_p(0.5, []) == 1.0
    assert conformal_p(0.5, [0.1, 0.5, 0.2]) == 0.5
    assert conformal_p(0.6, [0.1, 0.5, 0.2]) == 0.25


MODEL = make_model(3, shape=(3, 8, 8), classes=6)
BARE = make_fingerprint(MODEL)
FINGERPRINT = replace(
    BARE,
    panel_answers=run(MODEL, replace(BARE, panel_answers=np.empty((COUNT, 6), np.float32)).panel),
)


def measured(
    rows: Rows, kind: AnswerKind = "logits", calibration: Calibration | None = None
) -> tuple[Finding, ...]:
    there = np.atleast_1d(np.isfinite(rows).all(axis=1))
    values = {
        question_id(image): row.astype(np.float32)
        for image, row, known in zip(FINGERPRINT.panel, rows, there, strict=True)
        if known
    }
    answers = Answers(output=OutputSpec(classes=rows.shape[1], kind=kind), values=values)
    return Resemblance().measure("ours", FINGERPRINT, answers, calibration or Calibration())


def test_the_model_itself_is_found_and_a_stranger_is_not() -> None:
    (own,) = measured(FINGERPRINT.panel_answers)
    assert own.test == "resemblance"
    assert own.statistic == pytest.approx(1.0)
    assert own.used == COUNT
    (other,) = measured(answers_of(1, 6))
    assert other.statistic is not None
    assert other.interval is not None
    assert other.margin is not None
    assert other.statistic < other.margin.value
    assert other.p_value is not None
    assert other.p_value > 0.5
    assert Finding.from_dict(other.to_dict()).statistic == pytest.approx(other.statistic)


def test_known_independents_give_margin_and_conformal_p() -> None:
    pairs = [PairRatio("resemblance", None, kind, 0.99) for kind in ("logits", "labels")]
    pairs.append(PairRatio("harm_ratio", "network", "logits", 0.7))
    calibration = Calibration(ratios={"ours": pairs})
    (finding,) = measured(softmax(answers_of(1, 6), axis=1), "probabilities", calibration)
    assert finding.margin is not None
    assert finding.margin.pairs == 1
    assert finding.detail["conformal_p"] == 1.0


def test_too_few_answers_or_constant_ones_are_no_evidence() -> None:
    few = np.full((COUNT, 6), np.nan)
    few[:15] = answers_of(1, 6, 15)
    for rows, why in ((few, "15 of 96"), (np.ones((COUNT, 6)), "alike")):
        (finding,) = measured(rows)
        assert finding.statistic is None
        assert finding.p_value is None
        assert why in finding.missing


def test_two_classes_are_said_to_be_limited() -> None:
    (finding,) = measured(answers_of(1, 2))
    assert "two classes" in finding.detail["limited"]
    assert finding.detail["classes"] == 2


def test_a_fingerprint_without_a_panel_has_no_finding() -> None:
    answers = Answers(output=OutputSpec(classes=6), values={})
    assert Resemblance().measure("ours", BARE, answers, Calibration()) == ()
