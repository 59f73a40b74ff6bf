"""Projected gradients mislead trained networks, stay in the cube and the box, and say so truly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fingerprint import Model, load_model
from fingerprint.decomposition import adversarial
from fingerprint.errors import NoInformation, UsageError
from fingerprint.lab.training import pixels
from tests.support.digits import digits


@pytest.fixture(scope="module")
def model(trained_cnn: nn.Module) -> Model:
    return load_model(trained_cnn, input_size=(1, 16, 16))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return pixels(digits().test_images[:12])


def test_trained_networks_are_misled_within_the_cube_and_the_box(
    model: Model, images: Tensor
) -> None:
    found = adversarial(model, images, epsilon=0.1)
    assert int(found.success.sum()) >= 11
    assert float(found.delta.abs().max()) <= 0.1 * (1 + 1e-5)
    moved = images + found.delta
    assert float(moved.min()) >= -1e-6
    assert float(moved.max()) <= 1 + 1e-6
    with torch.no_grad():
        before, after = model(images).argmax(dim=1), model(moved).argmax(dim=1)
    assert torch.equal(found.success, before != after)


def test_noise_of_the_same_size_misleads_far_less(model: Model, images: Tensor) -> None:
    noise = 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).sign()
    with torch.no_grad():
        changed = model(images).argmax(1) != model((images + noise).clamp(0, 1)).argmax(1)
    assert int(changed.sum()) <= 3


def test_a_cube_too_small_is_reported_as_failure(model: Model, images: Tensor) -> None:
    found = adversarial(model, images, epsilon=1e-5, steps=5)
    assert not bool(found.success.any())


def test_the_seed_decides_and_torchs_own_numbers_are_left_alone(
    model: Model, images: Tensor
) -> None:
    state = torch.random.get_rng_state()
    first = adversarial(model, images, epsilon=0.05, steps=3, seed=1)
    again = adversarial(model, images, epsilon=0.05, steps=3, seed=1)
    other = adversarial(model, images, epsilon=0.05, steps=3, seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.delta, again.delta)
    assert not torch.equal(first.delta, other.delta)
    assert all(parameter.grad is None for parameter in model.module.parameters())


def test_it_works_where_gradients_are_switched_off(model: Model, images: Tensor) -> None:
    with torch.no_grad():
        found = adversarial(model, images, epsilon=0.1)
    assert bool(found.success.any())


def test_progress_reaches_its_end(model: Model, images: Tensor) -> None:
    seen = []
    many = images.repeat(8, 1, 1, 1)  # more than one pass takes
    adversarial(model, many, epsilon=0.1, steps=2, progress=lambda *step: seen.append(step))
    assert seen[-1] == ("attacking", 192, 192)
    assert [step[1] for step in seen] == sorted(step[1] for step in seen)


def test_networks_of_probabilities_are_misled_through_their_logarithms(
    trained_cnn: nn.Module, images: Tensor
) -> None:
    network = nn.Sequential(trained_cnn, nn.Softmax(dim=1))
    model = load_model(network.eval(), input_size=(1, 16, 16))
    assert model.output.kind == "probabilities"
    assert int(adversarial(model, images, epsilon=0.1).success.sum()) >= 11


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 0.0},
        {"epsilon": float("nan")},
        {"inputs": torch.zeros(0, 1, 16, 16)},
        {"inputs": torch.zeros(12, 1, 8, 8)},
        {"inputs": torch.full((12, 1, 16, 16), 1.1)},
        {"inputs": torch.full((12, 1, 16, 16), float("nan"))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_calls_that_make_no_sense_are_usage_errors(
    model: Model, images: Tensor, changes: dict[str, object]
) -> None:
    arguments: dict[str, object] = {"inputs": images, "epsilon": 0.1, **changes}
    with pytest.raises(UsageError):
        adversarial(model, **arguments)  # type: ignore[arg-type]


def test_a_network_of_nan_carries_no_information(images: Tensor) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 4))
    model = load_model(network.eval(), input_size=(1, 16, 16))
    with torch.no_grad():
        next(model.module.parameters())[0, 0] = float("nan")
    with pytest.raises(NoInformation, match="finite"):
        adversarial(model, images, epsilon=0.1)
