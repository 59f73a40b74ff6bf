from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fingerprint.errors import UsageError
from fingerprint.operators import (
    Convolution,
    Dense,
    Diagonal,
    Entries,
    LinearOperator,
    Pooling,
    Product,
    linear_operator,
    stacked,
)
from fingerprint.spaces import least_harmful
from tests.fingerprint.spaces.judge import dense, random

OPERATORS: dict[str, LinearOperator] = {
    "tall matrix": Dense(random(20, 8)),
    "square matrix": Dense(random(8, 8)),
    "wide matrix": Dense(random(5, 8)),
    "deficient matrix": Dense(random(20, 3) @ random(3, 8)),
    "patches": Convolution(random(30, 3, 3, 3), (3, 6, 6), stride=3),
    "overlapping": Convolution(random(8, 2, 3, 3), (2, 6, 6), padding=1),
    "scaled outputs": Product(
        Diagonal(torch.logspace(0, -2, 12, dtype=torch.float64).reshape(12, 1, 1), (12, 3, 3)),
        Convolution(random(12, 3, 2, 2), (3, 6, 6), stride=2),
    ),
    "two layers": stacked([Dense(random(5, 8)), Dense(0.1 * random(5, 8, seed=1))]),
    "chain": Product(
        Entries.read(lambda x: x[:, :11], (12, 3, 3)),
        Convolution(random(12, 3, 2, 2), (3, 6, 6), stride=2),
        Entries.read(lambda x: x.permute(0, 3, 1, 2), (6, 6, 3)),
    ),
    "pooling": Pooling([torch.full((1, 4), 0.25, dtype=torch.float64)] * 2, (3, 4, 4)),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("k", [1, 4])
def test_smallest_singular_values_are_numpys(name: str, k: int) -> None:
    operator = OPERATORS[name]
    found = least_harmful(operator, k)
    matrix = dense(operator)
    values = np.zeros(operator.n)
    spectrum = np.linalg.svd(matrix, compute_uv=False)
    values[: len(spectrum)] = spectrum
    np.testing.assert_allclose(found.singular_values.numpy(), values[::-1][:k], atol=1e-10)
    rows = found.directions.reshape(k, -1).numpy()
    np.testing.assert_allclose(rows @ rows.T, np.eye(k), atol=1e-10)
    responses = np.linalg.norm(matrix @ rows.T, axis=0)
    np.testing.assert_allclose(responses, found.singular_values.numpy(), atol=1e-10)


def test_lemma_2_the_least_harmful_direction_is_an_eigenvector_and_nothing_responds_less(
    trained_cnn: torch.nn.Module,
) -> None:
    """On the first convolution of a trained network, which has no harmless space."""
    layer: Any = trained_cnn.convolutions[0]  # type: ignore[index, union-attr]
    operator = linear_operator(layer, (1, 16, 16))
    assert operator.n <= operator.m
    found = least_harmful(operator)
    matrix = dense(operator)
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    assert values[0] > 0
    assert float(found.singular_values[0]) == pytest.approx(np.sqrt(values[0]), rel=1e-6)
    direction = found.directions.reshape(-1).numpy()
    assert abs(direction @ vectors[:, 0]) == pytest.approx(1.0, abs=1e-6)
    units = random(2000, operator.n).numpy()
    units[:500] = direction + 0.1 * units[:500]
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    response = np.linalg.norm(matrix @ direction)
    assert bool((np.linalg.norm(units @ matrix.T, axis=1) > response).all())


def test_what_is_too_large_to_decompose_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 4096 inputs"):
        least_harmful(Convolution(random(2, 3, 3, 3), (3, 64, 64), padding=1))


@pytest.mark.parametrize("k", [0, 9])
def test_impossible_numbers_of_directions_are_refused(k: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 8"):
        least_harmful(Dense(random(9, 8)), k)


@pytest.mark.parametrize("k", [1, 3])
def test_many_inputs_of_full_rank_have_numpys_values_too(k: int) -> None:
    """These are found without all the eigenvectors."""
    operator = Convolution(random(20, 2, 3, 3), (2, 17, 17), padding=1)
    assert operator.n > 512
    found = least_harmful(operator, k)
    matrix = dense(operator)
    spectrum = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(found.singular_values.numpy(), spectrum[::-1][:k], rtol=1e-10)
    rows = found.directions.reshape(k, -1).numpy()
    np.testing.assert_allclose(rows @ rows.T, np.eye(k), atol=1e-10)
    np.testing.assert_allclose(
        np.linalg.norm(matrix @ rows.T, axis=0), found.singular_values.numpy(), rtol=1e-10
    )
