"""The effect of a perturbation is what NumPy says of the network's own answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint import Model, load_model
from fingerprint.errors import UsageError
from fingerprint.solvers import effects


@pytest.fixture(scope="module")
def model(trained_cnn: nn.Module) -> Model:
    return load_model(trained_cnn, input_size=(1, 16, 16))


def noise(count: int, seed: int) -> Tensor:
    return torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_every_figure_is_that_of_the_answers_themselves(model: Model) -> None:
    before, after = noise(70, 0), noise(70, 1)
    with torch.no_grad():
        f, g = (model(x).double().numpy() for x in (before, after))
    for row, effect in enumerate(effects(model, before, after)):
        moved = g[row] - f[row]
        seen = f[row] - f[row].mean()
        assert effect.rmse == pytest.approx(np.sqrt(np.mean(moved**2)), rel=1e-5)
        assert effect.largest == pytest.approx(np.abs(moved).max(), rel=1e-5)
        relative = np.linalg.norm(moved - moved.mean()) / np.linalg.norm(seen)
        assert effect.relative == pytest.approx(relative, rel=1e-5)
        assert (effect.label, effect.label_after) == (f[row].argmax(), g[row].argmax())
        assert effect.same_label == (f[row].argmax() == g[row].argmax())


def test_the_same_input_has_no_effect(model: Model) -> None:
    images = noise(2, 0)
    assert [effect.relative for effect in effects(model, images, images)] == [0.0, 0.0]


def test_a_shift_of_all_logits_is_no_relative_change_but_an_rmse() -> None:
    class Shifted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)
            return flat[:, :3] + 8 * flat[:, 3:4]

    shifted = load_model(Shifted(), input_size=(4,), bounds=(0, 1))
    before = torch.tensor([[0.125, 0.25, 0.5, 0.0]])
    after = torch.tensor([[0.125, 0.25, 0.5, 1.0]])
    (effect,) = effects(shifted, before, after)
    assert effect.relative == 0.0
    assert effect.rmse == 8.0


def test_a_network_in_double_precision_is_asked_in_it(model: Model) -> None:
    images = noise(1, 0).double()
    nudged = images + 1e-12
    (single,) = effects(model, images, nudged)
    (double,) = effects(model.to(dtype=torch.float64), images, nudged)
    assert single.relative == 0.0
    assert 0.0 < double.relative < 1e-9


@pytest.mark.parametrize("shape", [(2, 1, 16, 15), (3, 1, 16, 16), (2, 256)])
def test_other_shapes_are_a_usage_error(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="expected two batches"):
        effects(model, noise(2, 0), torch.zeros(shape))
