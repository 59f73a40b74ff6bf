"""Dense layers, on the whole input or on each token."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from fingerprint.errors import UsageError
from fingerprint.operators import DENSE_LIMIT, Dense, Entries, Repeated
from tests.support.operator_contract import check_operator, matrix_of


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("m", "n"), [(3, 8), (8, 3), (5, 5), (1, 1)])
def test_dense_is_its_matrix(m: int, n: int, dtype: torch.dtype) -> None:
    matrix = torch.randn(m, n, dtype=dtype)
    check_operator(Dense(matrix), matrix.double().numpy())


def test_dense_takes_and_gives_any_shape() -> None:
    matrix = torch.randn(6, 12, dtype=torch.float64)
    check_operator(Dense(matrix, (3, 2, 2), (2, 3)), matrix.numpy())


def test_a_matrix_on_each_run_of_entries_is_a_linear_layer_on_tokens() -> None:
    weight = torch.randn(3, 4, dtype=torch.float64)
    twin = matrix_of(lambda x: functional.linear(x, weight), (2, 5, 4))
    check_operator(Repeated(Dense(weight), (2, 5)), twin)


@pytest.mark.parametrize(
    ("matrix", "in_shape", "out_shape"),
    [
        (torch.zeros(3), None, None),
        (torch.zeros(2, 3, dtype=torch.int64), None, None),
        (torch.zeros(2, 3), (4,), None),
        (torch.zeros(2, 3), None, (3,)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    matrix: torch.Tensor, in_shape: tuple[int, ...] | None, out_shape: tuple[int, ...] | None
) -> None:
    with pytest.raises(UsageError, match="expected"):
        Dense(matrix, in_shape, out_shape)


def test_a_matrix_beyond_the_limit_is_never_built() -> None:
    size = int(DENSE_LIMIT**0.5) + 1
    with pytest.raises(UsageError, match="matrix-free"):
        Entries.identity((size,), (size,)).to_dense()


def test_no_repetition_along_an_empty_axis() -> None:
    with pytest.raises(UsageError, match="positive"):
        Repeated(Dense(torch.zeros(2, 3)), (0,))
