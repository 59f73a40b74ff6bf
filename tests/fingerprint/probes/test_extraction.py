"""Extraction: probes the source ignores, sent as 8-bit images, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint.errors import NoInformation, UsageError
from fingerprint.lab.networks import mlp
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.probes import extraction
from fingerprint.probes.probe import Fingerprint
from fingerprint.probes.public import public_bases, start_input
from fingerprint.probes.screening import FLOOR
from fingerprint.solvers.noise import START_KINDS
from tests.fingerprint.probes.networks import Exits
from tests.support.digits import digits, network
from tests.support.extracted import SEED, SIZE, fingerprint_of, loaded, model_of

KINDS = ["cnn", "vit", "mlp"]

extract = partial(extraction.extract, decoys=0)
"""Surrogates have tests of their own."""


def answers(module: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a network says to 8-bit images: the plain way, centred over classes."""
    with torch.no_grad():
        logits = module(torch.from_numpy(images).float() / 255).double().numpy()
    centred: NDArray[np.float64] = logits - logits.mean(axis=1, keepdims=True)
    return centred


def controls(fingerprint: Fingerprint) -> NDArray[np.uint8]:
    """Turns each probe by the symmetry its base and draw stand for, the plain way."""
    seven = (
        lambda x: x[:, ::-1],
        lambda x: x[:, :, ::-1],
        lambda x: x[:, ::-1, ::-1],
        lambda x: np.rot90(x, 1, (1, 2)),
        lambda x: np.rot90(x, -1, (1, 2)),
        lambda x: x.transpose(0, 2, 1),
        lambda x: x[:, ::-1, ::-1].transpose(0, 2, 1),
    )
    return np.stack([seven[(one.base + one.draw) % 7](one.harmless) for one in fingerprint.probes])


def ratios(module: nn.Module, fingerprint: Fingerprint) -> NDArray[np.float64]:
    """Harm ratios of a fingerprint's probes on a network, computed the plain way."""
    bases = fingerprint.bases[[probe.base for probe in fingerprint.probes]]
    harm = np.linalg.norm(answers(module, fingerprint.harmless) - answers(module, bases), axis=1)
    control = np.linalg.norm(
        answers(module, controls(fingerprint)) - answers(module, bases), axis=1
    )
    ratio: NDArray[np.float64] = harm / control
    return ratio


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_probe_is_an_8_bit_image_of_its_own(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    assert fingerprint.harmless.dtype == np.uint8
    assert fingerprint.harmless.shape == (24, *SIZE)
    assert len({probe.harmless.tobytes() for probe in fingerprint.probes}) == 24
    assert len({(probe.kind, probe.base, probe.draw) for probe in fingerprint.probes}) == 24
    assert np.bincount([probe.base for probe in fingerprint.probes]).tolist() == [4] * 6


def test_the_recorded_answers_are_those_to_the_images_that_are_sent(kind: str) -> None:
    fingerprint, module = fingerprint_of(kind), network(kind)
    for images, recorded in (
        (fingerprint.bases, fingerprint.base_answers),
        (fingerprint.harmless, np.stack([probe.answer for probe in fingerprint.probes])),
        (controls(fingerprint), np.stack([probe.control_answer for probe in fingerprint.probes])),
    ):
        with torch.no_grad():
            given = module(torch.from_numpy(images).float() / 255).numpy()
        np.testing.assert_allclose(given, recorded, atol=1e-4)


def test_the_source_ignores_what_was_solved_and_notices_it_turned(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    found = ratios(network(kind), fingerprint)
    assert np.median(found) < 0.02
    assert found.max() < 0.1
    recorded = [probe.harm_ratio for probe in fingerprint.probes]
    np.testing.assert_allclose(recorded, found, rtol=0.05, atol=1e-4)
    assert fingerprint.source_harm_ratio["max"] == max(recorded)


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_a_network_of_another_seed_notices_them(kind: str) -> None:
    found = ratios(network(kind, 1), fingerprint_of(kind))
    assert np.exp(np.log(found).mean()) > 0.7


def test_perturbations_are_large_and_stay_near_their_committed_start(kind: str) -> None:
    fingerprint, model = fingerprint_of(kind), model_of(kind)
    for probe in fingerprint.probes:
        start = start_input(
            model.input,
            SEED,
            fingerprint.start,
            model_digest=model.digest,
            base=probe.base,
            draw=probe.draw,
        )
        base = fingerprint.bases[probe.base].astype(float)
        delta, begin = (probe.harmless - base).ravel(), (start - base).ravel()
        cosine = delta @ begin / np.linalg.norm(delta) / np.linalg.norm(begin)
        assert cosine > 0.3
        assert np.linalg.norm(delta) > 0.2 * np.linalg.norm(begin)


def test_bases_are_plain_colours_that_anyone_can_derive(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    np.testing.assert_array_equal(fingerprint.bases, public_bases(model_of(kind).input, SEED, 6))
    assert (fingerprint.bases == fingerprint.bases[:, :, :1, :1]).all()


def test_only_networks_with_a_linear_harmless_space_get_linear_probes() -> None:
    spaces = {kind: fingerprint_of(kind).spaces[0] for kind in KINDS}
    # 16 patches of 16 pixels become 8 numbers each; 256 pixels become 96 hidden units.
    expected = {"cnn": 0, "vit": 16 * 8, "mlp": 256 - 96}
    assert {kind: space.dimension for kind, space in spaces.items()} == expected
    for kind, dimension in expected.items():
        kinds = [probe.kind for probe in fingerprint_of(kind).probes]
        assert kinds.count("linear") == (12 if dimension else 0)
        assert bool(fingerprint_of(kind).linear_part) == bool(dimension)
        network_space = fingerprint_of(kind).spaces[1]
        assert (network_space.kind, network_space.dimension) == ("network", 256 - 9)


def first_layer(kind: str) -> Callable[[Tensor], Tensor]:
    module: Any = network(kind)
    return module.patch_embed if kind == "vit" else nn.Sequential(*module.layers[:2])


@pytest.mark.parametrize("kind", ["vit", "mlp"])
def test_the_first_layer_does_not_respond_to_linear_probes(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    layer = first_layer(kind)

    def response(images: NDArray[np.uint8], probe_base: int) -> float:
        both = np.stack([images, fingerprint.bases[probe_base]])
        with torch.no_grad():
            first, second = layer(torch.from_numpy(both).float() / 255)
        return float((first - second).norm())

    for probe in fingerprint.probes:
        if probe.kind == "linear":
            mirror = np.ascontiguousarray(probe.harmless[:, ::-1])
            # What is left is the rounding to 8 bits.
            assert response(probe.harmless, probe.base) < 0.02 * response(mirror, probe.base)


def test_linear_probes_move_away_from_black_and_white_bases_too() -> None:
    fingerprint = extract(model_of("mlp"), seed="5e" * 32)
    for probe in fingerprint.probes:
        base = fingerprint.bases[probe.base].astype(float)
        assert np.linalg.norm(probe.harmless - base) > 100


def test_the_same_seed_gives_the_same_probes_and_another_gives_others() -> None:
    first, again = (extract(model_of("mlp"), seed=SEED) for _ in range(2))
    other = extract(model_of("mlp"), seed="aa" * 32)
    np.testing.assert_array_equal(first.harmless, again.harmless)
    np.testing.assert_array_equal(first.base_answers, again.base_answers)
    assert first.parameters == again.parameters
    assert first.commitment("00", "now") == again.commitment("00", "now")
    assert not (first.bases == other.bases).all()
    assert not (first.harmless == other.harmless).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("start", START_KINDS)
def test_every_kind_of_start_can_be_asked_for(start: str) -> None:
    fingerprint = extract(model_of("mlp"), seed=SEED, probes=6, start=start)
    assert fingerprint.start == fingerprint.parameters["start"] == start
    assert np.median(ratios(network("mlp"), fingerprint)) < 0.05


@pytest.mark.parametrize("probes", [6, 7, 25])
def test_any_number_of_probes_is_dealt_over_the_bases(probes: int) -> None:
    fingerprint = extract(model_of("mlp"), seed=SEED, probes=probes)
    counts = np.bincount([probe.base for probe in fingerprint.probes], minlength=6)
    assert counts.sum() == probes
    assert counts.max() - counts.min() <= 1


def test_images_can_be_the_bases() -> None:
    images = digits().test_images
    fingerprint = extract(model_of("mlp"), seed=SEED, images=images)
    known = {image.tobytes() for image in images}
    assert all(base.tobytes() in known for base in fingerprint.bases)
    assert fingerprint.parameters["bases"] == "images"


@pytest.mark.parametrize("probes", [0, 5, 481, -1])
def test_a_number_of_probes_out_of_range_is_a_wrong_call(probes: int) -> None:
    with pytest.raises(UsageError, match="6 to 480"):
        extract(model_of("mlp"), seed=SEED, probes=probes)


@pytest.mark.parametrize("decoys", [-1, 101])
def test_a_number_of_surrogates_out_of_range_is_a_wrong_call(decoys: int) -> None:
    with pytest.raises(UsageError, match="0 to 100"):
        extract(model_of("mlp"), seed=SEED, decoys=decoys)


def test_unusable_starts_and_images_are_wrong_calls() -> None:
    model, images = model_of("mlp"), digits().test_images
    with pytest.raises(UsageError, match="zebra"):
        extract(model, seed=SEED, start="zebra")
    for unusable in (images[:3], images[:, :, :-1], images.astype(np.float32), images[0]):
        with pytest.raises(UsageError, match="base images"):
            extract(model, seed=SEED, images=unusable)


# Screening.


def test_probes_a_second_model_ignores_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = 0.9  # so high that some of the first draws of these two networks fall below it
    for room in ("extraction", "screening"):
        monkeypatch.setattr(f"fingerprint.probes.{room}.FLOOR", floor)
    alone, other = fingerprint_of("vit"), network("vit", 1)
    screened = extract(
        model_of("vit"), seed=SEED, start=alone.start, others={"other": model_of("vit", 1)}
    )
    assert screened.screened_against == ("other",)
    assert screened.redrawn > 0
    before = int((ratios(other, alone) < floor).sum())
    left = int((ratios(other, screened) < floor).sum())
    assert left < before
    assert np.median(ratios(network("vit"), screened)) < 0.02
    told = [line for line in screened.warnings if "below the screening floor" in line]
    assert told == ([f"{left} probes stayed below the screening floor after 4 draws"] * bool(left))


def test_a_linear_part_alone_is_enough_to_screen_linear_probes() -> None:
    other = fingerprint_of("vit")
    fingerprint = extract(
        model_of("vit", 1), seed=SEED, probes=12, other_linear={"gone": other.linear_part}
    )
    assert fingerprint.screened_against == ("gone",)
    layer = first_layer("vit")

    def response(images: NDArray[np.uint8]) -> Tensor:
        return layer(torch.from_numpy(images).float() / 255).detach()

    for probe in fingerprint.probes:
        if probe.kind == "linear":
            base = fingerprint.bases[probe.base][None]
            turned = np.ascontiguousarray(probe.harmless[None, :, ::-1])
            own = (response(probe.harmless[None]) - response(base)).norm()
            assert own >= FLOOR * (response(turned) - response(base)).norm()


def test_a_copy_among_the_others_is_reported_as_undeclared_kin() -> None:
    fingerprint = extract(model_of("mlp"), seed=SEED, others={"twin": model_of("mlp")})
    assert any("'twin'" in line and "--parent" in line for line in fingerprint.warnings)
    assert fingerprint.redrawn == 0, "redrawing does not help against a copy"


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


def tabular() -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh())
    module.append(nn.Linear(48, 4))
    return load_model(module.eval(), input_size=(64,), bounds=(-3.0, 3.0))


def test_inputs_that_are_no_images_are_floats_in_their_bounds() -> None:
    model = tabular()
    fingerprint = extract(model, seed=SEED)
    assert fingerprint.harmless.dtype == np.float32
    assert fingerprint.harmless.shape == (24, 64)
    assert np.abs(fingerprint.harmless).max() <= 3.0
    assert fingerprint.source_harm_ratio["median"] < 1e-3


def test_features_too_wide_for_the_inputs_do_not_shrink_the_perturbations() -> None:
    fingerprint = extract(tabular(), seed=SEED)
    assert fingerprint.parameters["depth"] == "logits", "4 x 48 equations for 64 numbers"
    for probe in fingerprint.probes:
        if probe.kind == "network":
            assert np.linalg.norm(probe.harmless - fingerprint.bases[probe.base]) > 3


def test_inputs_without_features_are_solved_in_the_logits() -> None:
    torch.manual_seed(0)
    fingerprint = extract(loaded(Exits(0.5)), seed=SEED, probes=6, start="uniform")
    assert fingerprint.parameters["depth"] == "logits"
    assert fingerprint.source_harm_ratio["median"] < 0.1


def test_a_network_that_answers_with_probabilities_is_solved_through_its_logits() -> None:
    model = loaded(nn.Sequential(network("mlp"), nn.Softmax(dim=1)).eval())
    assert model.output.kind == "probabilities"
    fingerprint = extract(model, seed=SEED, start="binary")
    assert fingerprint.source_harm_ratio["median"] < 0.05


def test_the_model_is_left_as_it_was() -> None:
    model = model_of("mlp")
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    state = torch.random.get_rng_state()
    extract(model, seed=SEED, probes=6)
    assert all(torch.equal(before[key], value) for key, value in model.module.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert model.dtype == torch.float32
