"""Families of Figure 4 on a small network, measured again by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.paper import figure4
from benchmarks.paper.experiment import Options
from benchmarks.paper.imagenet import photographs
from benchmarks.paper.networks import Images
from fingerprint import Model, load_model
from fingerprint.solvers import linear_space


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 3))
    return load_model(network.eval(), input_size=(1, 4, 4)).to(dtype=torch.float64)


@pytest.fixture
def test(model: Model) -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(8, 1, 4, 4, generator=generator, dtype=torch.float64)
    return Images(pixels=pixels, labels=model(pixels).argmax(dim=1), name="digits")


def test_only_images_named_correctly_are_taken(model: Model, test: Images) -> None:
    wrong = test.labels.clone()
    wrong[::2] = (wrong[::2] + 1) % 3
    found = figure4.correct_images(model, Images(pixels=test.pixels, labels=wrong, name="x"), 3)
    torch.testing.assert_close(found.pixels, test.pixels[[1, 3, 5]])


def test_noise_is_as_long_as_the_adversarial_perturbation_of_its_image(
    model: Model, test: Images
) -> None:
    both = figure4.perturbations(model, test.pixels, 0.1)
    norms = [delta.flatten(1).norm(dim=1) for delta in both.values()]
    torch.testing.assert_close(norms[0], norms[1])


def test_families_are_measured_drawn_and_tabulated(
    model: Model, test: Images, tmp_path: Path
) -> None:
    space = linear_space(model).space
    assert space is not None
    measured, samples = figure4.exact_families(model, space, test, network="small", shown=2)
    assert [row.kind for row in measured] == ["adversarial", "Gaussian noise"]
    for row in measured:
        assert max(row.moved) < 1e-12
        assert set(row.same_class) == {1.0}
        assert row.reached == pytest.approx(figure4.FACTORS)
    for sample in samples:
        assert len(sample.pictures) == 2 + len(figure4.FACTORS)
        named = [str(int(model(picture[None]).argmax())) for picture in sample.pictures]
        assert list(sample.named) == named
        # Theorem 5: the perturbed image and all members of the family are named alike.
        assert len(set(named[1:])) == 1
    figure4.draw(samples, figure4.FACTORS, tmp_path / "figure4.png")
    assert (tmp_path / "figure4.png").stat().st_size > 1000
    moved, named = figure4.tables(measured)
    assert len(moved.rows) == len(named.rows) == 2


def test_without_photographs_there_is_no_row_for_large_networks(
    model: Model, tmp_path: Path
) -> None:
    for data in (None, tmp_path):
        options = Options(data=data, work=tmp_path, out=tmp_path)
        assert photographs(options, model, 1) is None
