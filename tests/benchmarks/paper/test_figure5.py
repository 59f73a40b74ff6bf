"""Figure 5 on two small networks: own answers kept, the other's changed, sizes as stated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.paper import figure5
from benchmarks.paper.networks import Images
from fingerprint import Model, load_model


def _model(seed: int, width: int = 6) -> Model:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.Tanh(), nn.Linear(width, 3))
    return load_model(network.eval(), input_size=(1, 4, 4)).to(dtype=torch.float64)


@pytest.fixture
def test() -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(6, 1, 4, 4, generator=generator, dtype=torch.float64)
    return Images(pixels=pixels, labels=_model(0)(pixels).argmax(dim=1), name="digits")


def test_perturbations_are_harmless_for_one_and_noticed_by_the_other(
    test: Images, tmp_path: Path
) -> None:
    models = {"one": _model(0), "other": _model(1)}
    delta = figure5.linear_perturbations(models["one"], models["other"], test)
    sizes = delta.square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(sizes, torch.full((6,), 16 * 8 / 255, dtype=torch.float64))
    rows = figure5.crossed(models, {"one": delta}, test, way="linear")
    own, other = rows
    assert (own.asked, other.asked) == ("one", "other")
    assert own.largest < 1e-12
    assert own.named_alike == own.natural == own.accuracy == 1.0
    assert other.relative > 0.1
    after, before = (models["other"](images) for images in (test.pixels + delta, test.pixels))
    errors = (after - before).detach().square().mean(dim=1).sqrt()
    assert other.rmse == pytest.approx(float(errors.mean()), rel=1e-9)
    assert other.accuracy == pytest.approx(
        float((after.argmax(dim=1) == test.labels).double().mean())
    )
    (table,) = figure5.tables(rows)
    assert table.rows[0][1] == "one (its own)"
    figure5.draw(models, {"one": delta, "other": delta}, test, tmp_path / "a.png", name_of=str)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_whole_network_perturbations_are_8_bit_pictures_their_network_hardly_notices(
    test: Images,
) -> None:
    model = _model(0, width=40)  # more outputs than inputs: no linear harmless space
    delta = figure5.network_perturbations(model, test.pixels, start="binary")
    sent = (test.pixels + delta) * 255
    torch.testing.assert_close(sent, sent.round(), atol=1e-9, rtol=0)
    assert float(sent.min()) >= 0
    assert float(sent.max()) <= 255
    (own,) = figure5.crossed({"a": model}, {"a": delta}, test, way="network")
    assert own.relative < 0.05
    assert float(delta.flatten(1).norm(dim=1).min()) > 0.5
