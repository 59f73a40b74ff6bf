"""Copies that usual tools make, beside what torch's own pruning and plain numpy make."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from fingerprint.network.loading import load_model
from fingerprint.probes.copies import copies_of
from tests.support.digits import network
from tests.support.extracted import loaded


def weights_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in module.named_parameters()}


def torch_pruned(module: nn.Module, share: float, *, each: bool) -> nn.Module:
    pruned = copy.deepcopy(module)
    own = [one for one in pruned.modules() if isinstance(one, nn.Linear | nn.Conv2d)]
    if each:
        for one in own:
            prune.l1_unstructured(one, "weight", share)
    else:
        prune.global_unstructured(
            [(one, "weight") for one in own], pruning_method=prune.L1Unstructured, amount=share
        )
    for one in own:
        prune.remove(one, "weight")
    return pruned


@pytest.mark.parametrize("kind", ["cnn", "vit", "mlp"])
@pytest.mark.parametrize("percent", [10, 30, 50])
@pytest.mark.parametrize("each", [False, True], ids=["global", "each layer"])
def test_what_is_pruned_is_what_torch_prunes(kind: str, percent: int, each: bool) -> None:
    name = f"pruned by {percent} %" + (" in each layer" if each else "")
    made = weights_of(copies_of(loaded(network(kind)))[name]().module)
    for key, wanted in weights_of(torch_pruned(network(kind), percent / 100, each=each)).items():
        torch.testing.assert_close(made[key], wanted, rtol=0, atol=0)


def test_int8_weights_are_what_numpy_rounds() -> None:
    copies, plain = copies_of(loaded(network("cnn"))), weights_of(network("cnn"))
    by_channel, by_tensor = (
        weights_of(copies[name]().module)
        for name in ("int8 weights", "int8 weights, one scale for each tensor")
    )
    for name, weight in plain.items():
        values = weight.numpy().astype(np.float64)
        if values.ndim == 1:
            np.testing.assert_array_equal(by_tensor[name], values)
            continue
        step = np.abs(values).max() / 127
        np.testing.assert_allclose(by_tensor[name], np.round(values / step) * step, atol=1e-6)
        steps = np.abs(values).reshape(len(values), -1).max(axis=1) / 127
        steps = steps.reshape(-1, *[1] * (values.ndim - 1))
        np.testing.assert_allclose(by_channel[name], np.round(values / steps) * steps, atol=1e-6)


def test_matrices_that_no_layer_multiplies_by_make_further_copies() -> None:
    plain, further = (set(copies_of(loaded(network(kind)))) for kind in ("cnn", "vit"))
    assert len(plain) == 12
    assert further - plain == {f"pruned by {10 * k} % in all matrices" for k in range(1, 6)}


def test_weights_that_two_layers_share_count_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
            self.second.weight = self.first.weight
            self.last = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.second(self.first(x.flatten(1))))

    tied = Tied()
    with torch.no_grad():
        tied.first.weight.copy_(torch.arange(1.0, 65).reshape(8, 8))
        tied.last.weight.copy_(torch.arange(65.0, 129).reshape(8, 8))
    made = copies_of(load_model(tied, input_size=(8,)))["pruned by 50 %"]().module
    assert int(made.get_parameter("first.weight").count_nonzero()) == 0
    assert int(made.get_parameter("last.weight").count_nonzero()) == 64


def test_a_network_without_matrices_has_no_copies() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1) * self.scale

    assert copies_of(load_model(Scaled(), input_size=(8,))) == {}
