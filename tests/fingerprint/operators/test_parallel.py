"""Convolutions side by side, against the sum of their matrices."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fingerprint.operators import (
    Convolution,
    Dense,
    Diagonal,
    LinearOperator,
    Product,
    Reshape,
    Sum,
)
from fingerprint.operators.parallel import added
from tests.support.operator_contract import check_operator

SHAPE = (2, 7, 8)


def branch(kernel: int | tuple[int, int], out: int = 4, **options: Any) -> Convolution:
    sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
    channels = 2 // options.get("groups", 1)
    return Convolution(torch.randn(out, channels, *sizes, dtype=torch.float64), SHAPE, **options)


def normed(convolution: Convolution) -> Product:
    scale = torch.randn(convolution.out_shape[0], 1, 1, dtype=torch.float64)
    shape = convolution.out_shape
    return Product(Reshape(shape, (1, *shape)), Diagonal(scale, shape), convolution)


MERGING: dict[str, list[LinearOperator]] = {
    "one alone": [branch(3)],
    "same kernels": [branch(3, stride=2), branch(3, stride=2)],
    "one and three taps": [branch(1, stride=2), branch(3, stride=2, padding=1)],
    "three and one and five": [branch(3, padding=1), branch(1), branch(5, padding=2)],
    "lopsided": [branch((2, 3), padding=((1, 0), (0, 2))), branch((1, 1))],
    "different reach behind": [
        branch(3, padding=1, stride=3),
        branch(2, stride=3, padding=((0, 1), (0, 1))),
    ],
    "groups": [branch(3, padding=1, groups=2), branch(1, groups=2)],
    "batch norms": [normed(branch(1, stride=2)), normed(branch(3, stride=2, padding=1))],
}


@pytest.mark.parametrize("name", MERGING)
def test_branches_that_fit_become_one_convolution(name: str) -> None:
    branches = MERGING[name]
    sum_of_matrices = sum(operator.to_dense().numpy() for operator in branches)
    operator = added(branches)
    check_operator(operator, sum_of_matrices)
    last = operator.factors[-1] if isinstance(operator, Product) else operator
    assert isinstance(last, Convolution)


@pytest.mark.parametrize(
    "branches",
    [
        [branch(3, padding=1), branch(1, groups=2)],
        [branch(3, padding=2, dilation=2), branch(1)],
        [branch(1), Dense(torch.randn(224, 112, dtype=torch.float64), SHAPE, (4, 7, 8))],
        [Dense(torch.randn(224, 112, dtype=torch.float64), SHAPE, (4, 7, 8)), branch(1)],
    ],
    ids=["groups", "dilation", "matrix behind", "matrix in front"],
)
def test_branches_that_do_not_fit_stay_a_sum(branches: list[LinearOperator]) -> None:
    operator = added(branches)
    assert isinstance(operator, Sum)
    check_operator(operator, sum(branch.to_dense().numpy() for branch in branches))
