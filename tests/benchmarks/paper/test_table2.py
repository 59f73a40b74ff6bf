"""Table 2's algorithm and measures are those of plain computations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.paper.hiding import Attacked, algorithm1, measured
from benchmarks.paper.networks import Images
from benchmarks.paper.table2 import draw, tables
from fingerprint import load_model
from fingerprint.solvers import linear_space


@pytest.fixture
def test() -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(6, 1, 16, 16, generator=generator, dtype=torch.float64)
    return Images(pixels=pixels, labels=torch.arange(6) % 3, name="digits")


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    return load_model(network, input_size=(1, 16, 16))


def test_the_papers_algorithm_stays_harmless_but_not_in_range(model, test) -> None:
    space = linear_space(model).space
    assert space is not None
    found = algorithm1(space, test.pixels, steps=200)
    moved = (found - test.pixels).flatten(1) @ model.module[1].weight.double().T
    assert float(moved.abs().max()) < 1e-10
    assert float((found - test.pixels).square().mean()) > 0.1
    over = float(torch.maximum(-found, found - 1).max())
    assert 0 < over < 0.5


def test_measures_are_those_of_plain_computations(model, test) -> None:
    exact = model.to(dtype=torch.float64)
    sent = test.pixels.flip(0)
    row = measured(model, exact, test, sent, network="linear", way="turned")
    rounded = (sent * 255).round() / 255
    originals = (test.pixels * 255).round() / 255
    assert row.mse == pytest.approx(float((rounded - originals).square().mean()))
    with torch.no_grad():
        before, after = exact.module(test.pixels), exact.module(sent)
    gap = before - after
    gap = gap - gap.mean(dim=1, keepdim=True)
    size = (before - before.mean(dim=1, keepdim=True)).norm(dim=1)
    assert row.exact == pytest.approx(float(np.median((gap.norm(dim=1) / size).numpy())))
    assert row.before == float((before.argmax(dim=1) == test.labels).double().mean())
    assert row.out_of_range == 0


def test_tables_show_the_papers_numbers_and_ours(model, test, tmp_path: Path) -> None:
    row = measured(
        model, model.to(dtype=torch.float64), test, test.pixels, network="linear", way="same"
    )
    attack = Attacked(
        network="linear", way="same", attack="guess", ssim=0.5, psnr=20.0, haarpsi=0.4
    )
    found = tables([row, replace(row, exact=None, way="noise")], [attack])
    assert [cells[2] for cells in found[0].rows[:2]] == ["0.4719", "0.6825"]
    assert found[0].rows[2][2:] == ("1.0000", "HaarPSI 1.0000", "0.00 %")
    assert found[1].rows[1][6] == "-"
    assert found[2].rows[0][3:] == ("0.500", "20.0 dB", "0.400")
    draw([("original", test.pixels), ("sent", test.pixels)], tmp_path / "table2.png", shown=2)
    assert Image.open(tmp_path / "table2.png").width > 100
