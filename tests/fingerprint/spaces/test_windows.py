from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from fingerprint.operators import (
    Convolution,
    Dense,
    Diagonal,
    Entries,
    LinearOperator,
    Product,
    Repeated,
    Sum,
    linear_operator,
    stacked,
)
from fingerprint.spaces import frobenius_norm, null_space
from fingerprint.spaces.windows import windows
from tests.fingerprint.spaces.judge import assert_is_null_space, dense, random


def rebuilt(operator: LinearOperator) -> np.ndarray:
    """Writes the windows of an operator back into one matrix; rows in any order."""
    groups = windows(operator, values=True)
    assert groups is not None
    rows = []
    for group in groups:
        for columns in group.columns:
            part = np.zeros((group.matrix.shape[0], operator.n))
            part[:, columns.numpy()] = group.matrix.numpy()
            rows.append(part)
    return np.concatenate(rows)


LOSSY = Product(Entries((6,), torch.tensor([2, 3])), Dense(random(6, 9)))
CONVOLUTION = Convolution(random(4, 2, 3, 2), (2, 6, 7), stride=(2, 1), padding=(1, 0), dilation=2)
SELECTED = Entries.read(lambda x: x[:, 1:4, :, 0:5:2], CONVOLUTION.out_shape)
TURNED = Entries.read(lambda x: x.permute(0, 3, 1, 2), CONVOLUTION.out_shape)
OPERATORS: dict[str, LinearOperator] = {
    "convolution": CONVOLUTION,
    "grouped": Convolution(random(4, 1, 2, 2), (2, 5, 5), groups=2, padding=1),
    "one axis": Convolution(random(3, 2, 3), (2, 9), stride=2),
    "tokens": Repeated(Dense(random(3, 4)), (5,)),
    "samples": Repeated(Convolution(random(3, 1, 2, 2), (1, 3, 3)), (2,)),
    "stack": stacked([CONVOLUTION, CONVOLUTION]),
    "at rows of their own": Sum([LOSSY, LOSSY], [torch.tensor([4, 0]), torch.tensor([1, 3])], (5,)),
    "batch norm behind": Product(Diagonal(random(4, 1, 1), CONVOLUTION.out_shape), CONVOLUTION),
    "selected": Product(SELECTED, CONVOLUTION),
    "moved": Product(TURNED, CONVOLUTION, Entries.identity((84,), (2, 6, 7))),
    "pooling": linear_operator(lambda x: functional.avg_pool2d(x, 3, 2, 1), (2, 7, 6)),
    "stack of parts": stacked([LOSSY, LOSSY]),
    "tokens of parts": Repeated(LOSSY, (3,)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_windows_answer_as_strongly_as_the_operator(name: str) -> None:
    operator = OPERATORS[name]
    found, matrix = rebuilt(operator), dense(operator)
    np.testing.assert_allclose(found.T @ found, matrix.T @ matrix, atol=1e-12)


@pytest.mark.parametrize("name", [*OPERATORS, "sum"])
def test_the_frobenius_norm_is_numpys(name: str) -> None:
    operator = Sum([CONVOLUTION, CONVOLUTION]) if name == "sum" else OPERATORS[name]
    expected = np.linalg.norm(dense(operator))
    # A sum has no windows, so its norm is an estimate.
    assert frobenius_norm(operator) == pytest.approx(expected, rel=0.15 if name == "sum" else 1e-9)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "ceil"),
    [(2, 2, 0, False), (3, 2, 1, False), (3, 3, 1, True), (2, 3, 0, True)],
)
@pytest.mark.parametrize("count", [True, False])
def test_null_space_of_average_pooling_is_scipys(
    kernel: int, stride: int, padding: int, ceil: bool, count: bool
) -> None:
    operator = linear_operator(
        lambda x: functional.avg_pool2d(x, kernel, stride, padding, ceil, count), (2, 8, 7)
    )
    assert_is_null_space(null_space(operator), operator)


@pytest.mark.parametrize("sizes", list(itertools.product([1, 3, 7], [2, 5])))
def test_null_space_of_adaptive_pooling_is_scipys(sizes: tuple[int, int]) -> None:
    operator = linear_operator(lambda x: functional.adaptive_avg_pool2d(x, sizes), (2, 7, 8))
    assert_is_null_space(null_space(operator), operator)


def test_a_large_pooling_needs_no_matrix() -> None:
    operator = linear_operator(lambda x: functional.avg_pool2d(x, 4), (3, 224, 224))
    assert null_space(operator).dimension == operator.n - operator.m


def test_operators_that_mix_everything_have_no_windows() -> None:
    assert windows(Sum([CONVOLUTION, CONVOLUTION])) is None
    assert windows(Product(Entries((40,), torch.tensor([0])), stacked([LOSSY] * 20))) is None
    assert windows(Product(Dense(random(3, 40), (4, 2, 5)), CONVOLUTION)) is None


def test_no_entry_is_read_where_a_diagonal_is_zero() -> None:
    scale = torch.tensor([0.0, 2.0, 0.0]).double()
    operator = Diagonal(scale, (3,))
    space = null_space(operator)
    assert space.dimension == 2
    assert_is_null_space(space, operator)
