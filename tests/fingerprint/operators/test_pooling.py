"""Average pooling against torch on basis vectors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from fingerprint.errors import UsageError
from fingerprint.operators import (
    Pooling,
    adaptive_average_pooling,
    average_pooling,
    global_mean,
)
from tests.support.operator_contract import check_operator, matrix_of

AVERAGE = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
ADAPTIVE = {
    1: functional.adaptive_avg_pool1d,
    2: functional.adaptive_avg_pool2d,
    3: functional.adaptive_avg_pool3d,
}


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
    twin = matrix_of(lambda x: pool(x, kernel, stride, padding, **options), shape)
    check_operator(average_pooling(shape, kernel, stride, padding, **options), twin)


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 4, 4, 4)])
def test_a_given_divisor_replaces_the_count(shape: tuple[int, ...]) -> None:
    pool = AVERAGE[len(shape) - 1]
    twin = matrix_of(lambda x: pool(x, 3, 2, 1, divisor_override=5), shape)
    check_operator(average_pooling(shape, 3, 2, 1, divisor_override=5), twin)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((2, 7), 3), ((2, 5, 6), (2, 4)), ((2, 5, 6), (None, 1)), ((1, 2, 3), 5), ((1, 4, 5, 3), 2)],
)
def test_adaptive_pooling_is_what_torch_computes(shape: tuple[int, ...], sizes: Any) -> None:
    pool = ADAPTIVE[len(shape) - 1]
    twin = matrix_of(lambda x: pool(x, sizes), shape)
    check_operator(adaptive_average_pooling(shape, sizes), twin)


def test_global_mean_keeps_channels_apart() -> None:
    twin = matrix_of(lambda x: x.mean(dim=(2, 3), keepdim=True), (3, 4, 5))
    check_operator(global_mean((3, 4, 5)), twin)


def test_pooling_in_single_precision() -> None:
    twin = matrix_of(lambda x: functional.avg_pool2d(x, 2), (2, 4, 4))
    check_operator(average_pooling((2, 4, 4), 2, dtype=torch.float32), twin)


@pytest.mark.parametrize(
    ("shape", "kernel", "options", "words"),
    [
        ((1, 4), 5, {}, "no larger"),
        ((1, 8), 2, {"padding": 2}, "half the kernel"),
        ((1, 8), 0, {}, "kernel"),
        ((1, 8), 2, {"stride": 0}, "stride"),
        ((1, 8, 8), (2, 2, 2), {}, "kernel"),
        ((1, 8), 2, {"divisor_override": 0}, "non-zero"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    shape: tuple[int, ...], kernel: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        average_pooling(shape, kernel, **options)


def test_matrices_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="matrix per axis"):
        Pooling([torch.zeros(2, 3)], (1, 4))
    with pytest.raises(UsageError, match="matrix per axis"):
        Pooling([], (1, 4))
    with pytest.raises(UsageError, match="positive sizes"):
        adaptive_average_pooling((1, 4), (2, 2))
