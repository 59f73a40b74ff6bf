"""Evidence from answers that are coarse, or that do not move: none comes from nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import softmax

from fingerprint.answers import Answers, ask
from fingerprint.evidence.calibration import DEFAULT_MARGIN, Calibration, Margin
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.harm_ratio import HarmRatio, measured_harms
from fingerprint.evidence.statistics import permutation_test
from fingerprint.network.run import run
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.probes.probe import Fingerprint
from fingerprint.questions import questions_for
from fingerprint.suspects import ModelSuspect, Narrowed, Suspect
from fingerprint.verifying import verify
from tests.support.extracted import fingerprint_of, model_of
from tests.support.fingerprints import make_fingerprint, make_model

Rows = NDArray[Any]
CLASSES, BASES, PROBES = 6, 4, 16


class Table(Suspect):
    """Answers each input with a row that was laid down for it."""

    def __init__(
        self, fingerprint: Fingerprint, rows: dict[bytes, Any], kind: AnswerKind = "logits"
    ) -> None:
        super().__init__(fingerprint.input, OutputSpec(classes=CLASSES, kind=kind))
        self.rows = rows

    def respond(self, inputs: NDArray[Any]) -> Rows:
        return np.stack([self.rows[one.tobytes()] for one in inputs]).astype(np.float32)


class Still(Fingerprint):
    """Turns its images once: hundreds of suspects are asked them."""

    @cached_property
    def harmless(self) -> Rows:  # type: ignore[override]
        return super().harmless

    @cached_property
    def controls(self) -> Rows:  # type: ignore[override]
        return super().controls

    @cached_property
    def control_bases(self) -> Rows:  # type: ignore[override]
        return super().control_bases


def plain() -> Fingerprint:
    """A fingerprint of random images, none of which anybody solved."""
    one = make_fingerprint(make_model(classes=CLASSES), probes=PROBES)
    images = np.random.default_rng(0).integers(0, 256, (BASES, *one.input.shape), dtype=np.uint8)
    probes = [
        replace(probe, base=place % BASES, draw=place // BASES)
        for place, probe in enumerate(one.probes)
    ]
    facts = vars(one) | {"bases": images, "probes": tuple(probes)}
    return Still(**facts)


PLAIN = plain()


def laid_down(origin: Rows, harmful: Rows, controlling: Rows) -> dict[bytes, Any]:
    """Rows by input; how far each probe and each control moves is added to those of a base."""
    table: dict[bytes, Any] = {}
    rows = [probe.base for probe in PLAIN.probes]
    for place, row in enumerate(rows):
        table[PLAIN.bases[row].tobytes()] = origin[row]
        table[PLAIN.control_bases[place].tobytes()] = origin[row]
        table[PLAIN.harmless[place].tobytes()] = origin[row] + harmful[place]
        table[PLAIN.controls[place].tobytes()] = origin[row] + controlling[place]
    return table


class Held(Calibration):
    """Holds every candidate against one margin."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        object.__setattr__(self, "held", Margin(margin))

    def margin(self, *_: Any, **__: Any) -> Margin:
        return self.__dict__["held"]  # type: ignore[no-any-return]


QUESTIONS = questions_for({"plain": PLAIN})


def answers_of(table: dict[bytes, Any], kind: AnswerKind) -> Answers:
    return ask(Table(PLAIN, table, kind), QUESTIONS)


def found_in(table: dict[bytes, Any], kind: AnswerKind, margin: float) -> Finding:
    """The one finding; all probes are of one kind."""
    (finding,) = HarmRatio().measure("plain", PLAIN, answers_of(table, kind), Held(margin))
    return finding


def rounded(table: dict[bytes, Any], decimals: int) -> dict[bytes, Any]:
    return {key: np.round(softmax(row), decimals) for key, row in table.items()}


def moved(which: Callable[[int], Sequence[float]]) -> dict[bytes, Any]:
    """Each probe and its control move their answer by what a function of its place says."""
    direction = np.zeros((PROBES, CLASSES))
    direction[:, 0] = 1.0
    sizes = np.array([which(place) for place in range(PROBES)])
    origin = np.random.default_rng(1).normal(size=(BASES, CLASSES)) * np.pi
    return laid_down(origin, direction * sizes[:, :1], direction * sizes[:, 1:])


def assert_kept(alphas: tuple[float, ...], p_values: list[float]) -> None:
    """So many rejections have probability 1e-3 where each level is kept, and not less."""
    for alpha in alphas:
        rejected = sum(p <= alpha for p in p_values)
        assert rejected <= stats.binom.ppf(1 - 1e-3, len(p_values), alpha)


@pytest.mark.parametrize("zeros", [0.1, 0.2, 0.4, 0.6])
def test_strangers_whose_answers_often_stand_still_are_not_rejected_more_often_than_alpha(
    zeros: float,
) -> None:
    draws = np.random.default_rng(round(100 * zeros))
    p_values = []
    for _ in range(300):
        sizes = np.exp(0.3 * draws.normal(size=(PROBES, 2)))
        sizes *= draws.random(size=sizes.shape) >= zeros
        p_values.append(found_in(moved(sizes.__getitem__), "logits", 1.0).p_value or 1.0)
    assert_kept((0.05, 0.01), p_values)


@pytest.mark.parametrize(("scale", "zeros"), [(2.0, 0.1), (0.6, 0.3), (0.15, 0.6)])
def test_strangers_with_one_digit_are_not_rejected_more_often_than_alpha(
    scale: float, zeros: float
) -> None:
    """Probabilities to one digit, of a stranger whose harm ratio is exactly at the margin."""
    ratio = margin = DEFAULT_MARGIN
    draws = np.random.default_rng(round(100 * scale))
    p_values, unmoved = [], []
    for _ in range(200):
        origin = draws.normal(scale=3, size=(BASES, CLASSES))
        moves = draws.normal(scale=scale, size=(2, PROBES, CLASSES))
        moves *= np.exp(0.5 * draws.normal(size=(2, PROBES, 1)))
        table = rounded(laid_down(origin, ratio * moves[0], moves[1]), 1)
        p_values.append(found_in(table, "probabilities", margin).p_value or 1.0)
        harms = measured_harms(PLAIN, answers_of(table, "probabilities"))
        unmoved.append((np.stack([harms.harm, harms.control]) <= harms.least).mean())
    assert abs(np.mean(unmoved) - zeros) < 0.12
    assert_kept((0.05, 0.01), p_values)


def test_strangers_on_any_grid_are_not_rejected_more_often_than_alpha() -> None:
    """Quantised logits, and probabilities in 255ths, of strangers exactly at the margin."""
    ratio = margin = DEFAULT_MARGIN
    cases: list[tuple[AnswerKind, float, float]] = [
        ("logits", 0.1 * np.pi, 0.05),
        ("logits", 0.1 * np.pi, 0.1),
        ("probabilities", 1 / 255, 0.005),
        ("probabilities", 1 / 255, 0.02),
    ]
    draws = np.random.default_rng(5)
    p_values = []
    for kind, grid, scale in 200 * cases:
        origin = draws.normal(scale=3, size=(BASES, CLASSES))
        moves = draws.normal(scale=scale, size=(2, PROBES, CLASSES))
        moves *= np.exp(0.5 * draws.normal(size=(2, PROBES, 1)))
        table = laid_down(origin, ratio * moves[0], moves[1])
        shown = {
            key: softmax(row) if kind == "probabilities" else row for key, row in table.items()
        }
        table = {key: grid * np.round(row / grid) for key, row in shown.items()}
        p_values.append(found_in(table, kind, margin).p_value or 1.0)
    assert_kept((0.05, 0.01), p_values)


def test_a_probe_counts_if_it_or_its_control_moved_and_not_if_neither_did() -> None:
    table = moved(lambda place: [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)][place // BASES])
    found = found_in(table, "logits", DEFAULT_MARGIN)
    per_probe = found.detail["per_probe"]
    assert [row["used"] for row in per_probe] == [place // BASES != 3 for place in range(PROBES)]
    assert found.used == 3 * BASES
    assert found.statistic == pytest.approx(1.0)
    # Labels are dealt out anew among all of them: see the comment there.
    logs = np.log([(row["harm"], row["control_harm"]) for row in per_probe])
    treated, control = ([logs[base::BASES, side] for base in range(BASES)] for side in (0, 1))
    assert found.p_value == pytest.approx(permutation_test(treated, control, DEFAULT_MARGIN))
    for row in per_probe:
        assert row["harm"] > 0
        assert row["control_harm"] > 0


def test_probes_that_moved_nothing_weigh_no_more_than_the_answers_can_show() -> None:
    table = moved(lambda place: (0.0, 1.0) if place < 2 * BASES else (1.0, 1.0))
    coarse = {key: np.round(row, 1) for key, row in table.items()}
    found = found_in(coarse, "logits", DEFAULT_MARGIN)
    # Half of them moved nothing that one decimal shows, and the others as much as their controls.
    assert found.statistic == pytest.approx(0.1**0.5, rel=0.05)
    assert found.detail["least_ratio"] == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("kind", ["cnn", "vit"])
@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_a_stranger_that_rounds_its_probabilities_is_not_claimed(kind: str, decimals: int) -> None:
    suspect = Narrowed(ModelSuspect(model_of(kind, 1)), "probabilities", decimals=decimals)
    (candidate,) = verify(suspect, fingerprint_of(kind)).candidates
    assert candidate.verdict in ("independent", "inconclusive")
    assert candidate.harm_ratio is None or candidate.harm_ratio > 0.5


@pytest.mark.parametrize("kind", ["cnn", "vit", "mlp"])
@pytest.mark.parametrize("decimals", [0, 1, 2, 3])
def test_the_source_that_rounds_its_probabilities_is_never_independent(
    kind: str, decimals: int
) -> None:
    suspect = Narrowed(ModelSuspect(model_of(kind)), "probabilities", decimals=decimals)
    assert verify(suspect, fingerprint_of(kind)).verdict != "independent"


@pytest.mark.parametrize("kind", ["cnn", "vit", "mlp"])
@pytest.mark.parametrize("step", [0.3, 1.0, 3.0, 10.0])
def test_the_source_that_rounds_its_logits_is_never_independent(kind: str, step: float) -> None:
    class Coarse(ModelSuspect):
        def respond(self, inputs: NDArray[Any]) -> Rows:
            return np.round(run(self.model, inputs) / step).astype(np.float32)

    assert verify(Coarse(model_of(kind)), fingerprint_of(kind)).verdict != "independent"


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e10, 3e37])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_a_constant_network_is_silent_at_any_size_whatever_its_rounding(
    size: float, kind: AnswerKind
) -> None:
    draws = np.random.default_rng(0)
    constant = np.linspace(0.1, 1.0, CLASSES)
    constant = constant / constant.sum() if kind == "probabilities" else size * constant

    def noisy() -> Rows:
        eps = float(np.finfo(np.float32).eps)
        steps: Rows = (constant * (1 + eps * draws.integers(-4, 5, CLASSES))).astype(np.float32)
        return steps

    keys = laid_down(*(np.zeros((PROBES, CLASSES)),) * 3)
    table = {key: noisy() for key in keys}
    found = found_in(table, kind, DEFAULT_MARGIN)
    assert "constant or dead" in found.missing
    assert found.p_value is None
    answers = answers_of(table, kind)
    (asked,) = answers.repeats
    again = {asked: noisy()[None]}
    assert replace(answers, repeats=again).repeatable(0.0)


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1e10, 3e37])
def test_answers_of_any_size_tell_what_they_tell_at_size_one(size: float) -> None:
    table = moved(lambda place: (0.01, 1.0))
    one = found_in(table, "logits", DEFAULT_MARGIN)
    other = found_in({key: size * row for key, row in table.items()}, "logits", DEFAULT_MARGIN)
    assert one.statistic == pytest.approx(0.01, rel=1e-3)
    assert other.statistic == pytest.approx(one.statistic, rel=1e-3)
    assert other.p_value == pytest.approx(one.p_value)


@pytest.mark.parametrize(("kind", "design"), [("logits", 1 / 70**BASES), ("labels", None)])
def test_no_answers_give_less_than_the_least_p_value_and_clear_ones_give_it(
    kind: AnswerKind, design: float | None
) -> None:
    clear = moved(lambda place: (0.0, 100.0))
    found = found_in(clear, kind, DEFAULT_MARGIN)
    assert found.p_value is not None
    assert found.least_p is not None
    assert found.p_value >= found.least_p * (1 - 1e-9)
    if design is not None:
        assert found.least_p == pytest.approx(design)
        assert found.p_value == pytest.approx(design)
