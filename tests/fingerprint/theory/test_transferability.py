"""Transferability: P₁ ∩ P₂ fools both networks, P₁ − (P₁ ∩ P₂) the first only; two and many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import nn

from fingerprint.operators import Dense
from fingerprint.spaces import intersection, null_space, outside
from fingerprint.theory import is_harmless
from tests.fingerprint.solvers.problems import doubled
from tests.fingerprint.theory.test_decomposition import random
from tests.support.digits import network

X = torch.full((1, 1, 16, 16), 0.5, dtype=torch.float64)


@pytest.fixture(scope="module")
def networks() -> list[nn.Module]:
    """Three networks trained on the same digits from other seeds."""
    return [doubled(network("mlp", seed)) for seed in range(3)]


@pytest.fixture(scope="module")
def operators(networks: list[nn.Module]) -> list[Dense]:
    return [Dense(each.layers[1].weight.detach()) for each in networks]  # type: ignore[index, union-attr]


def shared_basis(operators: list[Dense]) -> NDArray[Any]:
    """SciPy's null space of all matrices on top of each other, ``(256, d)``."""
    basis: NDArray[Any] = scipy.linalg.null_space(
        np.vstack([operator.matrix.numpy() for operator in operators])
    )
    return basis


def test_two_networks_share_what_both_matrices_leave(
    networks: list[nn.Module], operators: list[Dense]
) -> None:
    space, basis = intersection(operators[:2]), shared_basis(operators[:2])
    assert space.dimension == basis.shape[1] == 256 - 2 * 96
    shared = 100 * space.project(random(5, 256)).reshape(5, 1, 16, 16)
    for network_ in networks[:2]:
        assert bool(is_harmless(network_, X, shared).all())
    assert not is_harmless(networks[2], X, shared).any()


def test_three_networks_share_nothing(operators: list[Dense]) -> None:
    """Their matrices have 288 rows for 256 inputs: P₁ ∩ P₂ ∩ P₃ = {0}."""
    assert intersection(operators).dimension == shared_basis(operators).shape[1] == 0


@pytest.mark.parametrize("others", [1, 2])
def test_outside_the_intersections_only_the_first_network_is_fooled(
    networks: list[nn.Module], operators: list[Dense], others: int
) -> None:
    """For each other model j: in P₁, and orthogonal to P₁ ∩ P_j, not merely outside it."""
    space = null_space(operators[0])
    sample = outside(space, operators[1 : 1 + others], random(256, seed=5))
    assert sample.shared == ()
    delta = sample.delta.reshape(1, 1, 16, 16)
    assert bool(is_harmless(networks[0], X, delta).all())
    for size in (0.1, 1.0, 10.0):
        for network_ in networks[1 : 1 + others]:
            assert not is_harmless(network_, X, size * delta).any()
    if others == 1:
        basis = shared_basis(operators[:2])
        part = np.linalg.norm(basis.T @ sample.delta.numpy())
        assert part < 1e-8 * float(sample.delta.norm())


def test_the_harmless_spaces_of_two_networks_differ(operators: list[Dense]) -> None:
    """P₁ ≠ P₂: nearly all of a sample of one is seen by the other."""
    first, second = null_space(operators[0]), null_space(operators[1])
    drawn = first.project(random(50, 256))
    assert not second.contains(drawn).any()
    outside_share = second.complement(drawn).norm(dim=1) / drawn.norm(dim=1)
    assert float(outside_share.min()) > 0.2
