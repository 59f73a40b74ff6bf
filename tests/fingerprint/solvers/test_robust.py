"""Starts moved to where a trained network and changed copies of it agree."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fingerprint.errors import NoInformation
from fingerprint.solvers import solve_network, solve_robust
from tests.fingerprint.solvers.problems import (
    BOX,
    Spy,
    assert_in_box,
    doubled,
    inputs,
    residuals,
)


def with_noise(network: nn.Module, share: float, seed: int) -> nn.Module:
    """A copy with noise on its matrices, a share of their deviation."""
    changed = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in changed.parameters():
            if weight.ndim > 1:
                noise = torch.randn(weight.shape, generator=generator)
                weight.add_(share * weight.std() * noise)
    return changed


@pytest.mark.parametrize("name", ["trained_cnn", "trained_vit", "trained_mlp"])
def test_the_residual_falls_for_every_network(request: pytest.FixtureRequest, name: str) -> None:
    source = request.getfixturevalue(name)
    networks = [source, *(with_noise(source, 0.2, seed) for seed in range(2))]
    base, start = inputs(3, dtype=torch.float32)
    found = solve_robust(networks, base, start, bounds=BOX)
    for network in networks:
        before = residuals(network, base, start - base)
        after = residuals(network, base, found.delta)
        assert (after < 0.3 * before).all()
    assert_in_box(base, found, slack=1e-6)
    assert float(found.delta.flatten(1).norm(dim=1).min()) > 1.0


def test_copies_that_were_not_asked_notice_less_than_of_a_plain_solution(
    trained_mlp: nn.Module,
) -> None:
    """What it is for: probes that survive changes of the weights nobody has seen."""
    base, start = inputs(12)
    network = doubled(trained_mlp)
    companions = [doubled(with_noise(trained_mlp, 0.2, seed)) for seed in range(3)]
    near = solve_robust([network, *companions], base, start, bounds=BOX)
    robust = solve_network(network, base, base + near.delta, bounds=BOX)
    plain = solve_network(network, base, start, bounds=BOX)
    assert residuals(network, base, robust.delta).max() <= 1e-8
    unseen = [doubled(with_noise(trained_mlp, 0.2, seed)) for seed in range(20, 25)]
    harms = [
        np.mean([np.log(residuals(copied, base, found.delta)).mean() for copied in unseen])
        for found in (robust, plain)
    ]
    assert harms[0] < harms[1] - 0.1


def test_its_cost_counts_every_network(trained_mlp: nn.Module) -> None:
    spies = [Spy(trained_mlp), Spy(with_noise(trained_mlp, 0.2, 0))]
    base, start = inputs(2, dtype=torch.float32)
    found = solve_robust(spies, base, start, bounds=BOX)
    assert found.passes == sum(spy.calls - 1 for spy in spies)


def test_constant_networks_carry_no_information() -> None:
    base, start = inputs(1)
    with pytest.raises(NoInformation):
        solve_robust(
            [lambda x: torch.ones(len(x), 3).to(x) + 0 * x.sum()] * 2, base, start, bounds=BOX
        )
