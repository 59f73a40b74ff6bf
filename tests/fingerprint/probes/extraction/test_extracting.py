"""Extraction: the same for one seed, gone on with where it stopped, of unusual networks too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint.errors import NoInformation, UsageError
from fingerprint.lab.networks import mlp
from fingerprint.network.loading import load_model
from fingerprint.probes.extraction import extract, extract_with
from fingerprint.probes.settings import ExtractionSettings
from fingerprint.probes.solving import Solver
from tests.fingerprint.probes.networks import Exits
from tests.support.digits import network
from tests.support.extracted import SEED, fingerprint_of, loaded, model_of


def test_the_same_seed_gives_the_same_probes_and_another_gives_others() -> None:
    first, again, other = (
        extract(model_of("mlp"), seed=seed, probes=6) for seed in (SEED, SEED, "1" * 32)
    )
    np.testing.assert_array_equal(first.harmless, again.harmless)
    assert not np.array_equal(first.bases, other.bases)


@pytest.mark.parametrize("probes", [0, 5, 481, -1])
def test_a_number_of_probes_out_of_range_is_a_wrong_call(probes: int) -> None:
    with pytest.raises(UsageError, match="expected 6 to 480"):
        extract(model_of("mlp"), seed=SEED, probes=probes)


def test_what_was_solved_before_an_interruption_is_not_solved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fingerprint_of("cnn")
    solve, solved = Solver.solve, []

    def interrupted(self: Solver, requests: list[object], *rest: object) -> object:
        if len(requests) in (16, 8):
            solved.append(requests[0])
            if len(solved) == 2:
                raise KeyboardInterrupt
        return solve(self, requests, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Solver, "solve", interrupted)
    settings = ExtractionSettings()
    with pytest.raises(KeyboardInterrupt):
        extract_with(settings, model_of("cnn"), seed=SEED, keep=tmp_path)
    (kept,) = tmp_path.iterdir()
    again = extract_with(settings, model_of("cnn"), seed=SEED, keep=tmp_path)
    assert len(solved) == 3, "the first depth was solved once"
    np.testing.assert_array_equal(again.harmless, whole.harmless)
    assert not kept.exists()


def test_references_are_recorded_and_an_interruption_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, model = ExtractionSettings(probes=6), model_of("cnn")
    references = {"mlp": model_of("mlp")}
    alone = extract_with(settings, model, seed=SEED)
    assert not [key for key in alone.parameters if "references" in key]
    assert not [one for one in alone.parameters["pilot"] if "references" in one]
    whole = extract_with(settings, model, seed=SEED, references=references)
    assert whole.parameters["pilot_references"] == [references["mlp"].digest]
    assert all(len(one["references"]) == 1 for one in whole.parameters["pilot"])
    solve = Solver.solve

    def interrupted(self: Solver, requests: list[object], *rest: object) -> object:
        found = solve(self, requests, *rest)  # type: ignore[arg-type]
        if len(requests) == 6:
            monkeypatch.setattr("fingerprint.probes.extraction.candidates.measure", stopped)
        return found

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Solver, "solve", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract_with(settings, model, seed=SEED, references=references, keep=tmp_path)
    monkeypatch.undo()
    again = extract_with(settings, model, seed=SEED, references=references, keep=tmp_path)
    assert again.parameters == whole.parameters
    assert (again.turns, again.depths) == (whole.turns, whole.depths)
    np.testing.assert_array_equal(again.harmless, whole.harmless)


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.arange(5.0).expand(len(x), 5)


def poisoned() -> nn.Module:
    module = mlp()
    next(module.parameters()).data[0, 0] = torch.nan
    return module


@pytest.mark.parametrize("module", [Constant(), poisoned()], ids=["constant", "nan"])
def test_a_network_without_information_is_refused(module: nn.Module) -> None:
    with pytest.raises(NoInformation):
        extract(loaded(module), seed=SEED)


def test_inputs_that_are_no_images_are_floats_in_their_bounds() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh())
    module.append(nn.Linear(48, 4))
    model = load_model(module.eval(), input_size=(64,), bounds=(-3.0, 3.0))
    fingerprint = extract(model, seed=SEED)
    assert fingerprint.harmless.dtype == np.float32
    assert fingerprint.harmless.shape == (24, 64)
    assert np.abs(fingerprint.harmless).max() <= 3.0
    median = fingerprint.source_harm_ratio["median"]
    assert median is not None
    assert median < 0.3


def test_inputs_that_take_an_early_exit_are_solved_in_the_logits() -> None:
    torch.manual_seed(0)
    fingerprint = extract(loaded(Exits(0.5)), seed=SEED, probes=12)
    median = fingerprint.source_harm_ratio["median"]
    assert median is not None
    assert median < 0.5


def test_a_network_that_answers_with_probabilities_is_solved_through_its_logits() -> None:
    model = loaded(nn.Sequential(network("mlp"), nn.Softmax(dim=1)).eval())
    assert model.output.kind == "probabilities"
    fingerprint = extract(model, seed=SEED)
    median = fingerprint.source_harm_ratio["median"]
    assert median is not None
    assert median < 0.3


def test_the_model_is_left_as_it_was() -> None:
    model = model_of("mlp")
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    state = torch.random.get_rng_state()
    extract(model, seed=SEED, probes=6)
    assert all(torch.equal(before[key], value) for key, value in model.module.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert model.dtype == torch.float32
