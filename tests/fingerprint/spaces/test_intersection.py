from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from fingerprint.errors import NoInformation, UsageError
from fingerprint.operators import Convolution, Dense, Diagonal, LinearOperator, Product
from fingerprint.spaces import PatchSubspace, intersection
from tests.fingerprint.spaces.judge import dense, random


def patches(channels: int, size: int, seed: int) -> Convolution:
    return Convolution(random(channels, 3, size, size, seed=seed), (3, 8, 8), stride=size)


PAIRS: dict[str, tuple[LinearOperator, ...]] = {
    "same patches": (patches(10, 4, 0), patches(12, 4, 1)),
    "three models": (patches(10, 4, 0), patches(12, 4, 1), patches(5, 4, 2)),
    "patches that nest": (patches(3, 2, 0), patches(30, 4, 1)),
    "patches and overlap": (
        patches(10, 4, 0),
        Convolution(random(1, 3, 3, 3, seed=1), (3, 8, 8), padding=1),
    ),
    "patches and a matrix": (patches(10, 4, 0), Dense(random(7, 192), in_shape=(3, 8, 8))),
    "a zero layer": (patches(10, 4, 0), Dense(0.0 * random(7, 192), in_shape=(3, 8, 8))),
    "twice the same": (patches(10, 4, 0), patches(10, 4, 0)),
    "nothing in common": (Dense(random(4, 8)), Dense(random(5, 8, seed=1))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_intersection_is_the_null_space_of_both_matrices_stacked(name: str) -> None:
    operators = PAIRS[name]
    space = intersection(operators)
    basis = scipy.linalg.null_space(np.vstack([dense(operator) for operator in operators]))
    assert space.dimension == basis.shape[1]
    noise = random(*operators[0].in_shape)
    expected = basis @ (basis.T @ noise.reshape(-1).numpy())
    np.testing.assert_allclose(space.project(noise).reshape(-1).numpy(), expected, atol=1e-9)


def test_patches_stay_blocks_at_full_size() -> None:
    shape = (3, 224, 224)
    one = Convolution(random(192, 3, 16, 16), shape, stride=16)
    two = Convolution(random(192, 3, 16, 16, seed=1), shape, stride=16)
    space = intersection([one, two])
    assert isinstance(space, PatchSubspace)
    assert space.dimension == 196 * (768 - 384)
    shared = space.project(random(*shape))
    assert float(one.matvec(shared).norm()) < 1e-10
    assert float(two.matvec(shared).norm()) < 1e-10


@pytest.mark.parametrize("factor", [1e-20, 1e12])
def test_the_scale_of_a_models_weights_does_not_decide(factor: float) -> None:
    one, two = patches(10, 4, 0), patches(12, 4, 1)
    small = Product(Diagonal(torch.full((1, 1, 1), factor).double(), two.out_shape), two)
    assert intersection([one, small]).dimension == intersection([one, two]).dimension
    dense_one = Dense(random(4, 9))
    dense_two = Dense(factor * random(4, 9, seed=1))
    assert intersection([dense_one, dense_two]).dimension == 1
    overlap = Convolution(factor * random(1, 3, 3, 3, seed=1), (3, 8, 8), padding=1)
    assert intersection([one, overlap]).dimension == 192 - 40 - 64


def test_no_operator_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        intersection([])


def test_non_finite_members_are_refused() -> None:
    with pytest.raises(NoInformation):
        intersection([Dense(random(2, 4)), Dense(torch.full((1, 4), torch.nan).double())])
