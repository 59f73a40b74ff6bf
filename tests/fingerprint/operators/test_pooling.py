"""Averages and interpolation are read off as a matrix for each axis: torch on basis vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fingerprint.errors import UsageError
from fingerprint.operators import Pooling, linear_operator
from fingerprint.operators.composed import factors_of
from tests.support.operator_contract import check_operator, matrix_of

AVERAGE = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
ADAPTIVE = {
    1: functional.adaptive_avg_pool1d,
    2: functional.adaptive_avg_pool2d,
    3: functional.adaptive_avg_pool3d,
}


def check_pooling(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    operator = linear_operator(function, shape)
    assert any(isinstance(factor, Pooling) for factor in factors_of(operator))
    check_operator(operator, matrix_of(function, shape))


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("ceil_mode", [True, False])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [
        ((2, 7), 3, 2, 1),
        ((1, 8), 2, 3, 0),
        ((2, 5, 6), 2, None, 0),
        ((1, 7, 8), (3, 2), (2, 3), (1, 1)),
        ((1, 5, 5), 3, 4, 1),
        ((1, 4, 5, 6), (2, 3, 2), (2, 2, 3), (1, 1, 0)),
    ],
)
def test_average_pooling_is_what_torch_computes(
    *,
    shape: tuple[int, ...],
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
) -> None:
    options = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    pool = AVERAGE[len(shape) - 1]
    check_pooling(lambda x: pool(x, kernel, stride, padding, **options), shape)


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 4, 4, 4)])
def test_a_given_divisor_replaces_the_count(shape: tuple[int, ...]) -> None:
    pool = AVERAGE[len(shape) - 1]
    check_pooling(lambda x: pool(x, 3, 2, 1, divisor_override=5), shape)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((2, 7), 3), ((2, 5, 6), (2, 4)), ((2, 5, 6), (None, 1)), ((1, 2, 3), 5), ((1, 4, 5, 3), 2)],
)
def test_adaptive_pooling_is_what_torch_computes(shape: tuple[int, ...], sizes: Any) -> None:
    pool = ADAPTIVE[len(shape) - 1]
    check_pooling(lambda x: pool(x, sizes), shape)


@pytest.mark.parametrize("dims", [(2, 3), (3,), (1,), (0, 2)])
def test_a_mean_leaves_other_axes_alone(dims: tuple[int, ...]) -> None:
    axes = [dim + 1 for dim in dims]
    shape = (3, 4, 5, 2)
    operator = linear_operator(lambda x: x.mean(dim=axes), shape)
    check_operator(operator, matrix_of(lambda x: x.mean(dim=axes), shape))


@pytest.mark.parametrize(
    "options",
    [
        {"size": (3, 9), "mode": "bilinear"},
        {"size": (3, 9), "mode": "bicubic", "align_corners": True},
        {"size": (3, 4), "mode": "bicubic", "antialias": True},
        {"scale_factor": 2, "mode": "nearest"},
    ],
)
def test_interpolation_is_what_torch_computes(options: dict[str, Any]) -> None:
    check_pooling(lambda x: functional.interpolate(x, **options), (2, 6, 7))


def test_matrices_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="matrix per axis"):
        Pooling([torch.zeros(2, 3)], (1, 4))
    with pytest.raises(UsageError, match="matrix per axis"):
        Pooling([], (1, 4))
