"""Hidden digits are answered as before, and tell no more than is said."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fingerprint import Model, load_model
from fingerprint.errors import NoInformation, UsageError
from fingerprint.privacy import hide
from fingerprint.solvers import linear_space
from tests.support.digits import digits

SIZE = (1, 16, 16)


@pytest.fixture(scope="module")
def images() -> NDArray[Any]:
    return digits().test_images[:6]


@pytest.fixture(scope="module")
def vit(trained_vit: nn.Module) -> Model:
    return load_model(trained_vit, input_size=SIZE)


@pytest.fixture(scope="module")
def cnn(trained_cnn: nn.Module) -> Model:
    return load_model(trained_cnn, input_size=SIZE)


def _answers(model: Model, images: torch.Tensor) -> torch.Tensor:
    network = copy.deepcopy(model.module).double()
    with torch.no_grad():
        return network(images)


def _exact(found: Any) -> torch.Tensor:
    return torch.from_numpy(np.stack([one.exact for one in found]))


@pytest.mark.parametrize("aim", ["noise", "distance"])
def test_linear_moves_far_keeps_the_range_and_leaves_the_answers(
    vit: Model, images: NDArray[Any], aim: Any
) -> None:
    found = hide(vit, images, seed="a", method="linear", aim=aim)
    exact, plain = _exact(found), torch.from_numpy(images) / 255.0
    assert float(exact.min()) >= 0
    assert float(exact.max()) <= 1
    moved = (_answers(vit, exact) - _answers(vit, plain.double())).norm(dim=1)
    size = _answers(vit, plain.double()).norm(dim=1)
    settled = torch.tensor([one.converged for one in found])
    assert int(settled.sum()) >= 3
    assert float((moved / size)[settled].max()) < 1e-7
    assert min(one.distance for one in found) > 0.03
    assert all(one.is_kept for one in found)


def test_behind_deviations_of_channels_the_answers_stay_to_rounding_error() -> None:
    """To about 1e-11; a space found with the deviations in float32 would be off by 1e-7."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 12, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(192, 10)
    ).eval()
    size, mean, std = (3, 16, 16), (0.47, 0.48, 0.44), (0.23, 0.24, 0.26)
    model = load_model(network, input_size=size, mean=mean, std=std)
    grey = np.random.default_rng(0).integers(60, 190, (3, *size), dtype=np.uint8)
    found = hide(model, grey, seed="a", method="linear")
    assert all(one.converged for one in found)
    assert max(one.effect_exact.relative for one in found) < 1e-9


def test_the_papers_aim_is_the_farther_one(vit: Model, images: NDArray[Any]) -> None:
    noise = hide(vit, images, seed="a", aim="noise")
    far = hide(vit, images, seed="a", aim="distance")
    assert sum(one.distance for one in far) > sum(one.distance for one in noise)


def test_the_distance_and_the_effects_are_what_a_plain_computation_says(
    vit: Model, images: NDArray[Any]
) -> None:
    found = hide(vit, images[:2], seed="a")
    for one, image in zip(found, images, strict=False):
        assert one.distance == pytest.approx(float(np.mean((one.exact - image / 255.0) ** 2)))
        assert np.abs(one.exact * 255 - one.image).max() <= 0.5 + 1e-9
        pair = torch.from_numpy(np.stack([image, one.image])) / 255
        with torch.no_grad():
            before, after = vit.module(pair)
        gap = (after - after.mean()) - (before - before.mean())
        expected = float(gap.norm() / (before - before.mean()).norm())
        assert one.effect.relative == pytest.approx(expected, rel=1e-3)


def test_linear_aimed_at_noise_is_blind_to_the_harmless_part(
    vit: Model, images: NDArray[Any]
) -> None:
    """Two images with one harmful part are hidden as one; the paper's aim tells them apart."""
    space = linear_space(vit).space
    assert space is not None
    flat = np.full_like(images[:1], 128)
    base = torch.from_numpy(flat / 255.0)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(base.shape, generator=generator, dtype=torch.float64)
    float_model = load_model(vit.module, input_size=SIZE, bounds=(0, 1))
    other = (base + 0.1 * space.project(noise)).numpy().astype(np.float32)
    pair = [base.numpy().astype(np.float32), other]
    assert np.abs(pair[0] - pair[1]).max() > 0.05
    blind = [hide(float_model, one, seed="a", method="linear")[0].exact for one in pair]
    aimed = [
        hide(float_model, one, seed="a", method="linear", aim="distance")[0].exact for one in pair
    ]
    assert np.abs(blind[0] - blind[1]).max() < 1e-2
    assert np.abs(aimed[0] - aimed[1]).max() > 10 * np.abs(blind[0] - blind[1]).max()


def test_network_needs_no_harmless_space(cnn: Model, images: NDArray[Any]) -> None:
    found = hide(cnn, images, seed="a")
    assert {one.method for one in found} == {"network"}
    assert all(one.converged and one.is_kept for one in found)
    assert max(one.effect_exact.relative for one in found) < 1e-7
    assert max(one.effect.relative for one in found) < 0.05
    assert min(one.distance for one in found) > 0.1


def test_network_knows_of_an_image_only_its_answer(vit: Model, images: NDArray[Any]) -> None:
    """An image and its linearly hidden twin have one answer, so they are hidden as one."""
    float_model = load_model(vit.module, input_size=SIZE, bounds=(0, 1))
    image = (images[:1] / 255).astype(np.float32)
    twin = hide(float_model, image, seed="b", method="linear")[0].image[None]
    assert np.abs(twin - image).max() > 0.3
    one = hide(float_model, image, seed="a", method="network")[0].exact
    same = hide(float_model, twin, seed="a", method="network")[0].exact
    assert np.abs(one - same).max() < 1e-3
    other = (images[1:2] / 255).astype(np.float32)
    different = hide(float_model, other, seed="a", method="network")[0].exact
    assert np.abs(one - different).max() > 0.05


def test_seeds_decide_the_noise(cnn: Model, images: NDArray[Any]) -> None:
    one, again, other = (hide(cnn, images[:1], seed=seed)[0].image for seed in "aab")
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.3


def test_a_black_image_has_room_upwards_only(vit: Model) -> None:
    found = hide(vit, np.zeros((1, *SIZE), dtype=np.uint8), seed="a", method="linear")[0]
    assert found.exact.min() >= 0
    assert found.effect.same_label


def test_linear_is_refused_where_the_first_layers_notice_everything(
    cnn: Model, images: NDArray[Any]
) -> None:
    with pytest.raises(UsageError, match="use the method network"):
        hide(cnn, images, seed="a", method="linear")


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, *SIZE), dtype=np.float32),
        np.zeros((1, 3, 16, 16), dtype=np.uint8),
        np.zeros((0, *SIZE), dtype=np.uint8),
    ],
)
def test_other_inputs_are_refused(cnn: Model, wrong: NDArray[Any]) -> None:
    with pytest.raises(UsageError, match="hide: expected"):
        hide(cnn, wrong, seed="a")


def test_not_a_number_is_refused(cnn: Model) -> None:
    model = load_model(cnn.module, input_size=SIZE, bounds=(0, 1))
    with pytest.raises(UsageError, match="finite"):
        hide(model, np.full((1, *SIZE), np.nan, dtype=np.float32), seed="a")


def test_a_dead_network_is_refused(cnn: Model, images: NDArray[Any]) -> None:
    dead = copy.deepcopy(cnn.module)
    for parameter in dead.parameters():
        parameter.data.zero_()
    with pytest.raises(NoInformation):
        hide(load_model(dead, input_size=SIZE), images, seed="a", method="network")


def test_unknown_names_are_refused(cnn: Model, images: NDArray[Any]) -> None:
    with pytest.raises(UsageError, match="linear, network"):
        hide(cnn, images, seed="a", method="magic")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="noise, distance"):
        hide(cnn, images, seed="a", aim="moon")  # type: ignore[arg-type]
