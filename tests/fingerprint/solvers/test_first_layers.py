"""The linear harmless space of a model is the null space of what its first layers compute."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

from fingerprint import load_model
from fingerprint.solvers import effects, linear_space
from tests.support.spaces import columns


def test_a_perceptrons_space_is_scipys_null_space_of_its_first_weights(
    trained_mlp: nn.Module,
) -> None:
    model = load_model(trained_mlp, input_size=(1, 16, 16), mean=(0.3,), std=(0.2,))
    found = linear_space(model)
    weight = trained_mlp.layers[1].weight.detach().double().numpy()  # type: ignore[union-attr, index]
    basis = scipy.linalg.null_space(weight)
    assert found.is_usable
    assert found.space is not None
    assert found.space.dimension == basis.shape[1] == 256 - 96
    ours = columns(found.space).numpy()
    np.testing.assert_allclose(ours @ ours.T, basis @ basis.T, atol=1e-10)


def test_what_lies_in_it_changes_nothing_at_any_size(trained_vit: nn.Module) -> None:
    model = load_model(trained_vit, input_size=(1, 16, 16)).to(dtype=torch.float64)
    space = linear_space(model).space
    assert space is not None
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 1, 16, 16, generator=generator, dtype=torch.float64)
    noise = torch.randn(3, 1, 16, 16, generator=generator, dtype=torch.float64)
    harmless = space.project(noise)
    for size in (1.0, 1e3):
        changes = effects(model, images, images + size * harmless)
        assert max(change.relative for change in changes) < 1e-11 * max(size, 1.0)
    assert min(change.relative for change in effects(model, images, images + noise)) > 0.01


def test_a_network_that_reads_the_input_itself_has_only_zero() -> None:
    class Rectified(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x).flatten(1)[:, :4]

    found = linear_space(load_model(Rectified(), input_size=(1, 8, 8)))
    assert not found.is_usable
    assert found.space is not None
    assert found.space.dimension == 0
    assert "the input itself" in found.note


def test_a_network_that_cannot_be_traced_says_why() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)
            return self.head(flat if float(flat.sum()) > 0 else -flat)

    found = linear_space(load_model(Branching(), input_size=(1, 8, 8)))
    assert found.space is None
    assert not found.is_usable
    assert "cannot be traced" in found.note
