"""Networks of the paper's experiments are trained once, kept whole, and read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.paper import networks
from benchmarks.paper.dimensions import measured
from benchmarks.paper.experiment import Options
from benchmarks.paper.recipes import NETWORKS, Recipe
from fingerprint import load_model
from fingerprint.lab.training import Settings
from fingerprint.solvers import linear_space


def _tiny(channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256 * channels, 10))


TINY = Recipe(build=_tiny, settings={"digits": Settings(epochs=1, lr=3e-3)}, seed=3)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(data=None, work=tmp_path, out=tmp_path)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often something is trained; the only network there is is a tiny one."""
    seeds: list[int] = []
    real = networks.train

    def counted(*args, **keywords):
        seeds.append(keywords["seed"])
        return real(*args, **keywords)

    monkeypatch.setattr(networks, "train", counted)
    monkeypatch.setattr(networks, "NETWORKS", {"tiny": TINY})
    return seeds


def test_a_network_is_trained_once_and_then_read_back(options, trainings) -> None:
    first, second = networks.trained("tiny", options), networks.trained("tiny", options)
    assert trainings == [3]
    assert first.digest == second.digest
    test = networks.test_images(options)
    share = networks.accuracy(first, test.pixels, test.labels)
    assert share > 0.5
    with torch.no_grad():
        named = first.module(test.pixels.float()).argmax(dim=1)
    assert share == float((named == test.labels).double().mean())


def test_an_interrupted_training_leaves_nothing(options, trainings, monkeypatch) -> None:
    def interrupted(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(networks, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        networks.trained("tiny", options)
    assert list(options.work.iterdir()) == []


def test_weights_of_another_recipe_are_not_taken(options, trainings, monkeypatch) -> None:
    networks.trained("tiny", options)
    monkeypatch.setattr(networks, "NETWORKS", {"tiny": replace(TINY, seed=4)})
    networks.trained("tiny", options)
    assert trainings == [3, 4]


def test_answers_keep_the_models_own_precision(options, trainings) -> None:
    model = networks.trained("tiny", options)
    pixels = 7 * networks.test_images(options).pixels[:3] - 2
    assert networks.answers(model, pixels).dtype == torch.float32
    exact = networks.answers(model.to(dtype=torch.float64), pixels)
    assert exact.dtype == torch.float64
    weight, bias = (model.module[1].weight.double(), model.module[1].bias.double())
    torch.testing.assert_close(exact, pixels.flatten(1) @ weight.T + bias, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "convolution", "dimension"),
    [
        ("resnet50-strided", "conv1", 128),
        ("resnet50-dense", "conv1", 0),
        ("patch-vit", "patch_embed", 128),
    ],
)
def test_first_layers_on_digits_leave_what_the_docstring_says(
    name: str, convolution: str, dimension: int
) -> None:
    torch.manual_seed(0)
    layer = NETWORKS[name].build(1).get_submodule(convolution)
    assert isinstance(layer, nn.Conv2d)
    assert measured(layer, (1, 16, 16)).harmless == dimension


@pytest.mark.slow
def test_the_strided_resnet_has_1024_harmless_dimensions_of_colour_images() -> None:
    torch.manual_seed(0)
    network = NETWORKS["resnet50-strided"].build(3)
    space = linear_space(load_model(network, input_size=(3, 32, 32))).space
    assert space is not None
    assert space.dimension == 1024


def test_the_two_seeds_are_two_networks() -> None:
    for name in ("resnet50-strided", "patch-vit"):
        assert NETWORKS[name].seed != NETWORKS[f"{name}-1"].seed
        assert NETWORKS[name].build is NETWORKS[f"{name}-1"].build
