"""Errors and accuracies of Table 1 are those of a plain computation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.paper.figure3 import PAPER, draw, tables
from benchmarks.paper.magnitudes import EPSILON, SCALES, Series, measured, scaled
from benchmarks.paper.networks import Images
from fingerprint import load_model


@pytest.fixture
def test() -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(6, 1, 4, 4, generator=generator, dtype=torch.float64)
    return Images(pixels=pixels, labels=torch.arange(6) % 3, name="digits")


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    return load_model(network, input_size=(1, 4, 4)).to(dtype=torch.float64)


def test_every_perturbation_has_one_size() -> None:
    delta = torch.randn(5, 2, 3, 3, dtype=torch.float64) * torch.rand(5, 1, 1, 1)
    sizes = scaled(delta).square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(sizes, torch.ones(5, dtype=torch.float64))


def test_errors_are_the_papers_mean_of_root_mean_squares(model, test) -> None:
    delta = scaled(torch.randn_like(test.pixels))
    found = measured(model, delta, test, network="linear", kind="Gaussian noise")
    weight = model.module[1].weight
    for scale, mean, largest in zip(SCALES, found.rmse, found.largest, strict=True):
        moved = scale * EPSILON * delta.flatten(1) @ weight.T
        errors = moved.square().mean(dim=1).sqrt()
        assert mean == pytest.approx(float(errors.mean()), rel=1e-12)
        assert largest == pytest.approx(float(errors.max()), rel=1e-12)
    assert found.precision == "float64"


def test_what_the_layer_does_not_notice_changes_no_accuracy(model, test) -> None:
    kernel = torch.linalg.svd(model.module[1].weight)[2][-1].reshape(1, 1, 4, 4)
    delta = scaled(kernel.expand_as(test.pixels))
    found = measured(model, delta, test, network="linear", kind="harmless perturbation")
    assert max(found.largest) < 1e-13
    assert set(found.accuracy) == {found.natural}


def test_tables_show_the_papers_numbers_beside_ours(tmp_path) -> None:
    errors, shares = (0.5,) * len(SCALES), (0.25,) * len(SCALES)
    series = [
        Series(
            network=name,
            kind=kind,
            precision=precision,
            natural=0.75,
            rmse=errors,
            largest=errors,
            accuracy=shares,
        )
        for name, kind, precision in (
            ("one", "Gaussian noise", "float64"),
            ("one", "harmless perturbation", "float32"),
            ("other", "least harmful perturbation", "float64"),
        )
    ]
    table, accuracies = tables(series)
    assert [row[1] for row in table.rows[:3]] == ["the paper's ResNet-50"] * 3
    assert table.rows[0][2:] == tuple(f"{value:.4f}" for value in PAPER["Gaussian noise"])
    assert table.rows[4][0] == "harmless perturbation, float32"
    assert accuracies.rows[0] == ("Gaussian noise", "one", "75.0%", *["25.0%"] * len(SCALES))
    draw(series, tmp_path / "figure3.svg")
    assert (tmp_path / "figure3.svg").exists()
