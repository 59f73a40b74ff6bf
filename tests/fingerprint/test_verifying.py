"""Verification of real suspects and of suspects that answer badly or in other words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.evidence.calibration import MARGINS, Calibration, PairRatio, depth_class
from fingerprint.lab.modifications import fine_tuned, pruned, quantised
from fingerprint.lab.training import Settings
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.network.spec import AnswerKind, InputSpec, OutputSpec
from fingerprint.probes.extraction import extract_with
from fingerprint.probes.settings import ExtractionSettings
from fingerprint.suspects import ModelSuspect, Narrowed, Suspect
from fingerprint.verifying import verify
from tests.support.digits import digits, network
from tests.support.extracted import fingerprint_of, loaded, model_of

Rows = NDArray[np.float32]
Change = Callable[[Rows], Rows]


def straight(seed: int) -> Model:
    """A linear network that learned the digits: whoever else did is much like it."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Flatten(), nn.Linear(digits().train_images[0].size, 10))
    return loaded(fine_tuned(module.eval(), digits(), Settings(epochs=2, lr=1e-2), seed=seed))


class Voice(Suspect):
    """Passes on what a model answers, changed."""

    def __init__(self, model: Model, change: Change, kind: AnswerKind = "logits") -> None:
        classes = change(np.zeros((1, model.output.classes), np.float32)).shape[1]
        super().__init__(model.input, OutputSpec(classes=classes, kind=kind))
        self.model, self.change = model, change

    def respond(self, inputs: NDArray[Any]) -> Rows:
        return self.change(run(self.model, inputs)).astype(np.float32)


ONCE = Settings(epochs=1, lr=5e-4)


def softmax(rows: Rows) -> Rows:
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    shares: Rows = powers / powers.sum(axis=1, keepdims=True)
    return shares


def named(rows: Rows) -> Rows:
    ones: Rows = np.eye(rows.shape[1], dtype=np.float32)[rows.argmax(axis=1)]
    return ones


@pytest.mark.parametrize(
    ("make", "verdict"),
    [
        (lambda source: source, "same"),
        (quantised, "derived"),
        (pruned, "derived"),
        (
            lambda source: fine_tuned(source, digits(), Settings(epochs=1, lr=5e-4), seed=3),
            "derived",
        ),
    ],
    ids=["itself", "int8", "pruned", "fine-tuned"],
)
@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_the_source_is_the_same_and_its_copies_are_derived(
    kind: str, make: Callable[[nn.Module], nn.Module], verdict: str
) -> None:
    result = verify(loaded(make(network(kind))), {"ours": fingerprint_of(kind)})
    assert (result.verdict, result.best) == (verdict, "ours")


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_a_network_of_another_seed_is_not_claimed(kind: str) -> None:
    result = verify(model_of(kind, 1), fingerprint_of(kind))
    assert result.verdict in ("independent", "inconclusive")
    assert result.best is None
    assert result.candidates[0].harm_ratio is not None
    assert result.candidates[0].harm_ratio > 0.7


class Doubted(ModelSuspect):
    """A model whose inputs may be changed on the way."""

    @property
    def doubt(self) -> str:
        return "so would it behind a lens"


def test_where_a_strangers_answers_have_another_reason_nobody_is_independent() -> None:
    fingerprints = {"cnn": fingerprint_of("cnn"), "vit": fingerprint_of("vit")}
    for seed in (0, 1):
        plain = verify(model_of("cnn", seed), fingerprints)
        doubted = verify(Doubted(model_of("cnn", seed)), fingerprints)
        for one, other in zip(plain.candidates, doubted.candidates, strict=True):
            independent = one.verdict == "independent"
            assert other.verdict == ("inconclusive" if independent else one.verdict)
            assert ("behind a lens" in other.reason) == independent
        assert doubted.verdict != "independent"
        assert doubted.best == plain.best


def test_of_a_perceptron_only_the_very_network_is_claimed() -> None:
    """Shallow networks of one small task ignore much the same perturbations."""
    fingerprint = fingerprint_of("mlp")
    strangers = [verify(model_of("mlp", seed), fingerprint) for seed in (1, 2, 3)]
    assert [result.best for result in strangers] == [None] * 3
    assert verify(model_of("mlp"), fingerprint).verdict == "same"
    copy = verify(loaded(quantised(network("mlp"))), fingerprint)
    assert copy.verdict == "inconclusive"
    assert "nearly linear" in copy.reason


def test_candidates_come_best_first_and_shared_inputs_are_asked_once() -> None:
    fingerprints = {kind: fingerprint_of(kind) for kind in ("vit", "cnn")}
    alone = verify(model_of("cnn"), fingerprint_of("cnn"))
    both = verify(model_of("cnn"), fingerprints)
    assert [candidate.name for candidate in both.candidates] == ["cnn", "vit"]
    assert (both.verdict, both.best) == ("same", "cnn")
    bases, orbits, panel = 16, 24 * (1 + 4), 96
    assert alone.queries == bases + orbits + panel + 1
    assert both.queries == alone.queries + orbits


def test_two_names_for_one_fingerprint_are_a_family() -> None:
    one = fingerprint_of("cnn")
    same = verify(model_of("cnn"), {"a": one, "b": one})
    derived = verify(loaded(quantised(network("cnn"))), {"a": one, "b": one})
    for result in (same, derived):
        assert any("'a'" in line and "'b'" in line for line in result.warnings)


# Other answers than logits.


@pytest.mark.parametrize(
    ("change", "kind", "verdict"),
    [
        (lambda rows: rows + 100, "logits", "same"),
        (lambda rows: 3 * rows, "logits", "derived"),
        (lambda rows: rows[:, ::-1], "logits", "derived"),
        (lambda rows: rows[:, :4], "logits", "derived"),
        (softmax, "probabilities", "same"),
        (lambda rows: softmax(rows / 4), "probabilities", "derived"),
        (lambda rows: np.round(softmax(rows), 3), "probabilities", "same"),
    ],
    ids=["shifted", "scaled", "reordered", "fewer classes", "softmax", "cooled", "3 decimals"],
)
def test_the_way_answers_are_given_does_not_hide_the_source(
    change: Change, kind: AnswerKind, verdict: str
) -> None:
    result = verify(Voice(model_of("cnn"), change, kind), fingerprint_of("cnn"))
    assert (result.verdict, result.best) == (verdict, "source")
    assert result.candidates[0].answer_kind == kind


@pytest.mark.parametrize(
    ("make", "verdict", "k"),
    [
        *((lambda source: source, "same", k) for k in (2, 5, 10)),
        # Two classes say so little that a copy of these probes may stay undecided.
        *((quantised, "derived", k) for k in (3, 5, 10)),
    ],
)
def test_the_likeliest_classes_are_enough_to_know_the_source_and_its_copy(
    make: Callable[[nn.Module], nn.Module], verdict: str, k: int
) -> None:
    suspect = Narrowed(ModelSuspect(loaded(make(network("cnn")))), "top-k", k=k)
    result = verify(suspect, fingerprint_of("cnn"))
    assert (result.verdict, result.best) == (verdict, "source")
    assert result.candidates[0].answer_kind == "top-k"
    assert result.suspect["output"] == {"classes": 10, "kind": "top-k"}


@pytest.mark.parametrize(("k", "decimals"), [(2, None), (5, None), (5, 3)])
def test_the_likeliest_classes_of_a_stranger_are_not_claimed(k: int, decimals: int | None) -> None:
    suspect = Narrowed(ModelSuspect(model_of("cnn", 1)), "top-k", k=k, decimals=decimals)
    result = verify(suspect, fingerprint_of("cnn"))
    assert result.verdict in ("independent", "inconclusive")
    assert result.best is None


def test_one_class_with_its_probability_is_a_label() -> None:
    one = verify(Narrowed(ModelSuspect(model_of("cnn")), "top-k", k=1), fingerprint_of("cnn"))
    label = verify(Narrowed(ModelSuspect(model_of("cnn")), "labels"), fingerprint_of("cnn"))
    (first,), (second,) = one.candidates, label.candidates
    assert first.answer_kind == "labels"
    assert first == second


def test_answers_that_name_no_class_are_no_answers() -> None:
    suspect = Voice(model_of("cnn"), np.zeros_like, "top-k")
    result = verify(suspect, fingerprint_of("cnn"))
    assert "missing or not finite" in result.reason


def test_another_label_space_has_no_label_agreement() -> None:
    result = verify(Voice(model_of("cnn"), lambda rows: rows[:, :4]), fingerprint_of("cnn"))
    assert result.candidates[0].label_agreement is None


def test_labels_alone_make_nobody_the_same_and_never_claim_a_stranger() -> None:
    own, other = (
        verify(Voice(model_of("cnn", seed), named, "labels"), fingerprint_of("cnn")).candidates[0]
        for seed in (0, 1)
    )
    assert own.answer_kind == other.answer_kind == "labels"
    # Probes of moderate contrast seldom change a label, turned or not.
    assert (own.verdict, own.label_agreement) == ("inconclusive", 1.0)
    assert other.verdict == "inconclusive"


# Margins.


def known_pairs(**ratios: list[float]) -> Calibration:
    return Calibration(
        {
            name: [PairRatio("harm_ratio", None, "logits", ratio) for ratio in found]
            for name, found in ratios.items()
        }
    )


def test_each_candidate_has_the_margin_of_the_models_asked_its_own_probes() -> None:
    one = replace(fingerprint_of("cnn"), parameters={})
    suspect = loaded(quantised(network("cnn")))
    result = verify(
        suspect,
        {"copied": one, "known": one, "new": one},
        calibration=known_pairs(copied=[1.0, 0.002], known=[0.9, 0.32, 1.1], gone=[0.3]),
    )
    found = {candidate.name: candidate for candidate in result.candidates}
    margins = {name: (one.margin, one.margin_source) for name, one in found.items()}
    said = next(one for one in found["new"].findings if one.statistic == found["new"].harm_ratio)
    deciding = next(
        depth_class(one) for one in fingerprint_of("cnn").depths if one.name == said.depth
    )
    assert margins == {
        "copied": (0.002, "registry"),
        "known": (0.32, "registry"),
        "new": (MARGINS[deciding]["logits"], "default"),
    }
    assert {name: one.margin_pairs for name, one in found.items()} == {
        "copied": 2,
        "known": 3,
        "new": 0,
    }
    assert [found[name].margin_floor for name in ("copied", "known", "new")] == [1 / 3, 1 / 4, 1]
    assert {name: one.verdict for name, one in found.items()} == {
        "copied": "inconclusive",
        "known": "derived",
        "new": "derived",
    }
    assert "tells nothing of descent" in found["copied"].reason


@pytest.mark.parametrize("kind", ["cnn", "vit", "mlp"])
def test_pairs_as_close_as_a_copy_do_not_forbid_claims_of_identity(kind: str) -> None:
    known = known_pairs(source=[0.0])
    assert verify(model_of(kind), fingerprint_of(kind), calibration=known).verdict == "same"


# Suspects that give no evidence.


def noisy(rows: Rows) -> Rows:
    return rows + NOISE.normal(scale=0.5, size=rows.shape).astype(np.float32)


NOISE = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        (lambda rows: np.full_like(rows, np.nan), "logits", "missing or not finite"),
        (lambda rows: np.full_like(rows, np.inf), "logits", "missing or not finite"),
        (np.zeros_like, "logits", "constant or dead"),
        (lambda rows: 0 * rows + np.arange(10), "logits", "constant or dead"),
        (lambda rows: np.full_like(rows, 0.1), "probabilities", "constant or dead"),
        (lambda rows: np.eye(10)[np.zeros(len(rows), int)], "labels", "constant or dead"),
        (noisy, "logits", "different answers"),
    ],
    ids=["nan", "inf", "zero", "constant", "uniform", "one label", "noisy"],
)
def test_no_evidence_is_inconclusive_and_says_why(
    change: Change, kind: AnswerKind, reason: str
) -> None:
    result = verify(Voice(model_of("cnn"), change, kind), fingerprint_of("cnn"))
    assert (result.verdict, result.best) == ("inconclusive", None)
    assert result.reason.startswith("no evidence: ")
    assert reason in result.reason


def test_some_missing_answers_leave_the_others_to_speak() -> None:
    class Dropping(Voice):
        def respond(self, inputs: NDArray[Any]) -> Rows:
            rows = super().respond(inputs)
            rows[15 : len(rows) : 16] = np.nan
            return rows

    result = verify(Dropping(model_of("cnn"), lambda rows: rows), fingerprint_of("cnn"))
    (candidate,) = result.candidates
    assert 12 <= sum(one.used for one in candidate.findings if one.test == "harm_ratio") < 24
    assert (result.verdict, result.best) == ("derived", "source")


# Calls.


def test_a_bare_module_is_asked_as_the_first_candidate_is() -> None:
    result = verify(network("mlp"), fingerprint_of("mlp"))
    assert (result.verdict, result.best) == ("same", "source")


def test_nothing_to_compare_with_is_inconclusive() -> None:
    result = verify(model_of("mlp"), {})
    assert (result.verdict, result.best, result.queries) == ("inconclusive", None, 0)


def test_other_inputs_are_refused_before_anything_is_asked() -> None:
    wide = load_model(nn.Sequential(nn.Flatten(), nn.Linear(400, 10)), input_size=(1, 20, 20))
    suspect = Voice(wide, lambda rows: rows)
    assert suspect.input == InputSpec(shape=(1, 20, 20))
    with pytest.raises(IncompatibleModel, match="1x20x20"):
        verify(suspect, fingerprint_of("mlp"))
    assert suspect.queries == 0


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_an_impossible_level_is_a_wrong_call(alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha"):
        verify(model_of("mlp"), fingerprint_of("mlp"), alpha=alpha)


@pytest.mark.parametrize("kind", ["logits", "labels"])
def test_the_result_is_plain_json(kind: AnswerKind) -> None:
    change: Change = named if kind == "labels" else lambda rows: rows
    result = verify(Voice(model_of("mlp"), change, kind), fingerprint_of("mlp"))
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(text)["schema"] == 2


def test_the_answer_does_not_depend_on_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if before == 1 else 1)
        assert verify(model_of("cnn"), fingerprint_of("cnn")).verdict == "same"
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("suspect", "verdict"), [(0, "same"), (1, "inconclusive")], ids=["itself", "stranger"]
)
def test_a_linear_model_known_by_its_answers_alone_is_the_one_that_gives_them(
    suspect: int, verdict: str
) -> None:
    known = extract_with(ExtractionSettings(answers_only=True), straight(0), seed="answers")
    (candidate,) = verify(straight(suspect), {"ours": known}).candidates
    assert candidate.verdict == verdict
    assert candidate.harm_ratio is None
    assert ("training one twice alike gives it twice" in candidate.reason) is (suspect == 0)


def test_what_the_panel_decides_is_no_harm_ratio_and_the_most_alike_comes_first() -> None:
    known = {
        name: extract_with(ExtractionSettings(answers_only=True), model_of("cnn", seed), seed="a")
        for name, seed in (("a stranger", 1), ("ours", 0))
    }
    result = verify(loaded(quantised(network("cnn"))), known)
    first, second = result.candidates
    assert (result.verdict, result.best, first.harm_ratio) == ("derived", "ours", None)
    assert first.resemblance is not None
    assert first.margin is not None
    assert first.resemblance > first.margin
    assert second.resemblance is not None
    assert first.resemblance > second.resemblance
