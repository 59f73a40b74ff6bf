"""Extraction: probes the source ignores at a depth, 8-bit images, the same for one seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint.errors import NoInformation, UsageError
from fingerprint.lab.modifications import fine_tuned, pruned
from fingerprint.lab.networks import mlp
from fingerprint.network.depths import depths_of
from fingerprint.network.loading import load_model
from fingerprint.probes.bases import ROOM, grained_leaves
from fingerprint.probes.extraction import extract, extract_with
from fingerprint.probes.kinds import FeatureProbes
from fingerprint.probes.panel import PANEL
from fingerprint.probes.probe import Fingerprint
from fingerprint.probes.settings import ExtractionSettings
from fingerprint.probes.solving import Solver
from fingerprint.probes.turns import control_groups
from fingerprint.questions import question_id, questions_for
from tests.fingerprint.probes.networks import Exits
from tests.support.digits import digits, network
from tests.support.extracted import SEED, SIZE, fingerprint_of, loaded, model_of

KINDS = ["cnn", "vit", "mlp"]


def answers(module: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a network says to 8-bit images: the plain way, centred over classes."""
    with torch.no_grad():
        logits = module(torch.from_numpy(np.ascontiguousarray(images)).float() / 255).double()
    centred: NDArray[np.float64] = (logits - logits.mean(dim=1, keepdim=True)).numpy()
    return centred


def harms(module: nn.Module, fingerprint: Fingerprint) -> NDArray[np.float64]:
    """Harm of each probe and of its δ turned four ways, computed the plain way."""
    bases = fingerprint.bases[[probe.base for probe in fingerprint.probes]].astype(np.int16)
    delta = fingerprint.harmless.astype(np.int16) - bases
    turned = (
        delta,
        np.rot90(delta, 1, (2, 3)),
        np.rot90(delta, -1, (2, 3)),
        delta[:, :, ::-1, ::-1],
        delta[:, :, ::-1],
    )
    origin = answers(module, bases.astype(np.uint8))
    members = [answers(module, (bases + one).astype(np.uint8)) - origin for one in turned]
    return np.stack([np.linalg.norm(one, axis=1) for one in members], axis=1)


def ratios(module: nn.Module, fingerprint: Fingerprint) -> NDArray[np.float64]:
    logs = np.log(harms(module, fingerprint))
    found: NDArray[np.float64] = np.exp(logs[:, 0] - logs[:, 1:].mean(axis=1))
    return found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_probe_is_an_8_bit_image_of_its_own_with_room_to_be_turned(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    assert fingerprint.harmless.dtype == np.uint8
    assert fingerprint.harmless.shape == (24, *SIZE)
    assert len({probe.harmless.tobytes() for probe in fingerprint.probes}) == 24
    assert [probe.base for probe in fingerprint.probes] == [*range(16), *range(8)]
    bases = fingerprint.bases[[probe.base for probe in fingerprint.probes]].astype(int)
    assert np.abs(fingerprint.harmless - bases).max() <= round(255 * ROOM) + 1
    assert fingerprint.turns == (0, 1, 4, 5), "two of each kind"
    assert [depth.speaks_for for depth in fingerprint.depths] == ["family", "family"]


def test_bases_are_those_that_anyone_can_derive_from_the_seed(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    np.testing.assert_array_equal(fingerprint.bases, grained_leaves(model_of(kind).input, SEED, 16))
    assert len(fingerprint.panel_answers) == len(fingerprint.panel) == PANEL


def test_the_recorded_answers_are_those_to_the_images_that_are_sent(kind: str) -> None:
    fingerprint, module = fingerprint_of(kind), network(kind)
    controls = np.concatenate([probe.control_answers for probe in fingerprint.probes])
    for images, recorded in (
        (fingerprint.bases, fingerprint.base_answers),
        (fingerprint.harmless, np.stack([probe.answer for probe in fingerprint.probes])),
        (fingerprint.controls, controls),
        (fingerprint.panel, fingerprint.panel_answers),
    ):
        with torch.no_grad():
            given = module(torch.from_numpy(images).float() / 255).numpy()
        np.testing.assert_allclose(given, recorded, atol=1e-3)


def test_the_source_ignores_what_was_solved_and_notices_it_turned(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    found = ratios(network(kind), fingerprint)
    assert np.median(found) < 0.3
    recorded = [probe.harm_ratio for probe in fingerprint.probes]
    np.testing.assert_allclose(recorded, found, rtol=0.05, atol=1e-3)
    assert fingerprint.source_harm_ratio["max"] == max(recorded)


def test_the_passes_of_the_pilot_and_at_each_depth_are_all_there_are(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    spent = dict(fingerprint.cost)
    del spent["seconds"]
    total = spent.pop("passes")
    assert set(spent) >= {f"passes at {depth.name}" for depth in fingerprint.depths}
    assert total == pytest.approx(sum(spent.values()))
    assert fingerprint.rough_copy_ratio is None, "it has no individual probes"
    tried = [one["passes"] for one in fingerprint.parameters["pilot"]]
    assert spent["passes of the pilot"] == pytest.approx(sum(tried))


def test_early_features_stay_as_they_are() -> None:
    """Behind them anything may change: a new head makes no difference to what was solved."""
    fingerprint, module = fingerprint_of("vit"), network("vit")
    early = [probe for probe in fingerprint.probes if probe.kind == "linear"]
    assert len(early) == 16
    layer = next(part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear))
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, given: seen.append(given))
    bases = fingerprint.bases[[probe.base for probe in early]]
    for images in (bases, np.stack([probe.harmless for probe in early])):
        answers(module, images)
    hook.remove()
    moved = (seen[1] - seen[0]).flatten(1).norm(dim=1)
    assert float((moved / seen[0].flatten(1).norm(dim=1)).max()) < 0.02


def test_individual_probes_lie_outside_a_relatives_harmless_set() -> None:
    parent = network("cnn")
    child = fine_tuned(parent, digits(), seed=5)
    fingerprint = extract(loaded(child), seed=SEED, relatives={"parent": loaded(parent)}, probes=24)
    individual = [probe for probe in fingerprint.probes if probe.kind.startswith("individual")]
    assert len(individual) == 16
    assert [depth.speaks_for for depth in fingerprint.depths][-1] == "individual"
    assert fingerprint.relatives == (loaded(parent).digest,)
    rows = [fingerprint.probes.index(probe) for probe in individual]
    own, other = (np.median(ratios(module, fingerprint)[rows]) for module in (child, parent))
    assert own < 0.3
    assert other > 0.6
    rough = fingerprint.rough_copy_ratio
    assert rough is not None
    again = np.log(ratios(pruned(child, share=0.45), fingerprint)[rows]).mean()
    assert rough == pytest.approx(np.exp(again), rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_relative_may_be_of_another_precision(dtype: torch.dtype) -> None:
    tuned = network("cnn", 1)
    parent = model_of("cnn").to(dtype=dtype)
    made = extract(loaded(tuned), seed=SEED, probes=6, relatives={"parent": parent})
    assert {depth.speaks_for for depth in made.depths} == {"individual"}


def test_the_same_seed_gives_the_same_probes_and_another_gives_others() -> None:
    first, again, other = (
        extract(model_of("mlp"), seed=seed, probes=6) for seed in (SEED, SEED, "1" * 32)
    )
    np.testing.assert_array_equal(first.harmless, again.harmless)
    assert not np.array_equal(first.bases, other.bases)


@pytest.mark.parametrize("probes", [6, 7, 25])
def test_any_number_of_probes_is_dealt_over_the_depths(probes: int) -> None:
    fingerprint = extract(model_of("mlp"), seed=SEED, probes=probes)
    assert len(fingerprint.probes) == probes
    counts = [
        sum(probe.kind == depth.name for probe in fingerprint.probes)
        for depth in fingerprint.depths
    ]
    # A third is late; fewer than twelve are all of one depth.
    assert counts == ([probes] if probes < 12 else [probes - probes // 3, probes // 3])


@pytest.mark.parametrize(("probes", "turns"), [(6, 7), (8, 6), (10, 4), (12, 6), (24, 4)])
def test_fewer_probes_are_held_against_more_turns(probes: int, turns: int) -> None:
    """A thousand candidates can be told apart at 0.001 as far as turns suffice."""
    fingerprint = extract(model_of("mlp"), seed=SEED, probes=probes)
    assert len(fingerprint.turns) == turns
    most = max(sum(one.kind == d.name for one in fingerprint.probes) for d in fingerprint.depths)
    least = min(map(len, control_groups(fingerprint.input.shape, fingerprint.turns)))
    assert turns == 7 or (least + 1.0) ** -most <= 1e-6


def test_a_network_whose_early_depth_is_what_its_head_reads_has_probes_there_alone() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 8, 3, stride=2, padding=1)
    module = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    fingerprint = extract(load_model(module, input_size=(1, 12, 12)), seed=SEED, probes=12)
    assert [depth.name for depth in fingerprint.depths] == ["features"]
    assert len(fingerprint.probes) == 12


def test_images_can_be_the_bases_with_their_contrast_reduced() -> None:
    images = digits().test_images[:30]
    pixels = np.round(255 * np.asarray(images)).astype(np.uint8).reshape(-1, *SIZE)
    fingerprint = extract(model_of("mlp"), seed=SEED, probes=6, images=pixels)
    assert fingerprint.parameters["bases"] == "images"
    assert fingerprint.bases.min() >= 47
    assert fingerprint.bases.max() <= 208


@pytest.mark.parametrize("probes", [0, 5, 481, -1])
def test_a_number_of_probes_out_of_range_is_a_wrong_call(probes: int) -> None:
    with pytest.raises(UsageError, match="expected 6 to 480"):
        extract(model_of("mlp"), seed=SEED, probes=probes)


def test_too_few_images_are_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="expected at least 6"):
        extract(model_of("mlp"), seed=SEED, probes=6, images=np.zeros((2, *SIZE), np.uint8))


# Going on.


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


# Large inputs.


def test_of_large_inputs_five_sixths_are_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fingerprint.probes.turns._LARGE", 0)
    fingerprint = extract(model_of("cnn"), seed=SEED)
    kinds = [probe.kind for probe in fingerprint.probes]
    assert [kinds.count(depth.name) for depth in fingerprint.depths] == [20, 4]
    assert len(fingerprint.bases) == 20


@pytest.mark.parametrize("large", [True, False])
def test_early_probes_of_large_inputs_are_harmless_at_the_depth_before_as_well(
    large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of("cnn")
    depths = depths_of(model)
    second = FeatureProbes(depths[1], contrast=32 / 255, passes=20)
    monkeypatch.setattr("fingerprint.probes.extraction.planning.early_kinds", lambda *_: (second,))
    monkeypatch.setattr("fingerprint.probes.extraction.planning.depths_of", lambda _: depths)
    monkeypatch.setattr("fingerprint.probes.pilot.Tried.usable", True)
    if large:
        monkeypatch.setattr("fingerprint.probes.turns._LARGE", 0)
    fingerprint = extract(model, seed=SEED, probes=12)
    assert fingerprint.depths[0].name == depths[1].name
    assert fingerprint.parameters["harmless_earlier_too"] == [depths[0].name] * large


@pytest.mark.parametrize(
    ("told", "turns"),
    [(range(11), (7, 8, 9, 10)), (range(7), (0, 1, 4, 5)), (range(9), (0, 1, 4, 5))],
)
def test_controls_of_large_inputs_stay_on_the_grid_if_the_source_can_tell_them(
    told: Sequence[int], turns: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fingerprint.probes.turns._LARGE", 0)
    monkeypatch.setattr("fingerprint.probes.pilot.told_apart", lambda *_: tuple(told))
    fingerprint = extract(model_of("cnn"), seed=SEED)
    assert fingerprint.turns == turns
    said = any("takes a probe upside down for the probe" in line for line in fingerprint.warnings)
    assert said == (turns != (7, 8, 9, 10))
    flipped = fingerprint.bases[:2, :, ::-1] if not said else fingerprint.bases[:0]
    np.testing.assert_array_equal(fingerprint.flipped_bases, flipped)
    asked = {question_id(np.ascontiguousarray(one)) for one in flipped}
    assert asked <= set(questions_for({"A": fingerprint}).ids)


# Screening.


def test_a_copy_among_the_others_is_reported_as_undeclared_kin() -> None:
    fingerprint = extract(model_of("mlp"), seed=SEED, others={"twin": model_of("mlp")})
    assert fingerprint.parameters["not_told_from"] == ["twin"]
    assert any("'twin'" in line and "leave it out" in line for line in fingerprint.warnings)
    assert fingerprint.redrawn == 0, "redrawing does not help against a copy"


def test_a_linear_part_alone_is_enough_to_screen_linear_probes() -> None:
    other = fingerprint_of("vit")
    fingerprint = extract(model_of("vit", 1), seed=SEED, other_linear={"gone": other.linear_part})
    assert fingerprint.screened_against == ("gone",)
    assert not [line for line in fingerprint.warnings if "'gone'" in line]


# Networks that cannot be registered, and unusual ones that can.


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


def test_a_network_with_more_outputs_than_inputs_has_nothing_to_ignore() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 40))
    with pytest.raises(NoInformation, match="too few inputs for its outputs"):
        extract(load_model(module, input_size=(1, 2, 2)), seed=SEED)


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


def test_answers_alone_are_asked_and_nothing_is_solved() -> None:
    settings = ExtractionSettings(answers_only=True)
    fingerprint = extract_with(settings, model_of("cnn"), seed=SEED)
    assert (fingerprint.probes, len(fingerprint.panel_answers)) == ((), PANEL)
    assert fingerprint.cost["passes"] == 0


def test_the_model_is_left_as_it_was() -> None:
    model = model_of("mlp")
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    state = torch.random.get_rng_state()
    extract(model, seed=SEED, probes=6)
    assert all(torch.equal(before[key], value) for key, value in model.module.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert model.dtype == torch.float32
