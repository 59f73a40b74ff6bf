"""Evidence from answers that are coarse, or that do not move: none comes from nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import softmax

from fingerprint.network.run import run
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.probes.probe import Fingerprint
from fingerprint.suspects import ModelSuspect, Narrowed, Suspect
from fingerprint.verification.asking import ask
from fingerprint.verification.calibration import DEFAULT_MARGIN
from fingerprint.verification.evidence import Evidence, gather, measured_harms
from fingerprint.verification.statistics import permutation_test
from fingerprint.verification.verify import verify
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


def plain() -> Fingerprint:
    """A fingerprint of random images, none of which anybody solved."""
    one = make_fingerprint(make_model(classes=CLASSES), probes=PROBES)
    images = np.random.default_rng(0).integers(0, 256, (BASES, *one.input.shape), dtype=np.uint8)
    probes = [
        replace(probe, base=place % BASES, draw=place // BASES)
        for place, probe in enumerate(one.probes)
    ]
    return replace(one, bases=images, probes=tuple(probes))


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


def evidence_of(
    table: dict[bytes, Any], kind: AnswerKind, margin: float
) -> tuple[Evidence, NDArray[np.bool_]]:
    """Gathers evidence, and says which harms and harms of controls were too small to be seen."""
    answers = ask(Table(PLAIN, table, kind), [PLAIN], 1e-3)
    harms = measured_harms(PLAIN, answers)
    silent = np.stack([harms.harm, harms.control]) <= harms.least
    return gather(PLAIN, answers, margin), silent


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
        evidence, _ = evidence_of(moved(sizes.__getitem__), "logits", 1.0)
        p_values.append(min((test.p_value for test in evidence.tests), default=1.0))
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
        evidence, silent = evidence_of(table, "probabilities", margin)
        p_values.append(min((test.p_value for test in evidence.tests), default=1.0))
        unmoved.append(silent.mean())
    assert abs(np.mean(unmoved) - zeros) < 0.12
    assert_kept((0.05, 0.01), p_values)


def test_a_probe_counts_if_it_or_its_control_moved_and_not_if_neither_did() -> None:
    table = moved(lambda place: [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)][place // BASES])
    evidence, _ = evidence_of(table, "logits", DEFAULT_MARGIN)
    used = [row["used"] for row in evidence.per_probe]
    assert used == [place // BASES != 3 for place in range(PROBES)]
    assert evidence.probes_used == 3 * BASES
    (test,) = evidence.tests
    assert test.estimate.ratio == pytest.approx(1.0)
    # Labels are dealt out anew among all of them: see the comment there.
    logs = np.log([(row["harm"], row["control_harm"]) for row in evidence.per_probe])
    treated, control = ([logs[base::BASES, side] for base in range(BASES)] for side in (0, 1))
    assert test.p_value == pytest.approx(permutation_test(treated, control, DEFAULT_MARGIN))
    for row in evidence.per_probe:
        assert row["harm"] > 0
        assert row["control_harm"] > 0


def test_probes_that_moved_nothing_weigh_no_more_than_the_answers_can_show() -> None:
    table = moved(lambda place: (0.0, 1.0) if place < 2 * BASES else (1.0, 1.0))
    coarse = {key: np.round(row, 1) for key, row in table.items()}
    evidence, _ = evidence_of(coarse, "logits", DEFAULT_MARGIN)
    (test,) = evidence.tests
    # Half of them moved nothing that one decimal shows, and the others as much as their controls.
    assert test.estimate.ratio == pytest.approx(0.1**0.5, rel=0.05)
    assert test.least == pytest.approx(0.1, rel=0.05)


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
    answers = ask(Table(PLAIN, table, kind), [PLAIN], 1e-3)
    evidence = gather(PLAIN, answers, DEFAULT_MARGIN)
    assert "constant or dead" in evidence.missing
    assert evidence.tests == ()
    answers.repeat(PLAIN.harmless[:1], 0.0)
    assert answers.repeatable


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1e10, 3e37])
def test_answers_of_any_size_tell_what_they_tell_at_size_one(size: float) -> None:
    table = moved(lambda place: (0.01, 1.0))
    one, _ = evidence_of(table, "logits", DEFAULT_MARGIN)
    scaled = {key: size * row for key, row in table.items()}
    other, _ = evidence_of(scaled, "logits", DEFAULT_MARGIN)
    assert one.tests[0].estimate.ratio == pytest.approx(0.01, rel=1e-3)
    assert other.tests[0].estimate.ratio == pytest.approx(one.tests[0].estimate.ratio, rel=1e-3)
    assert other.tests[0].p_value == pytest.approx(one.tests[0].p_value)
