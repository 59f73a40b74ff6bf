"""Convolutions against plain loops over windows."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from fingerprint.errors import UsageError
from fingerprint.operators import Convolution
from tests.support.operator_contract import check_operator, matrix_of


def loops(operator: Convolution) -> NDArray[np.float64]:
    """Writes the matrix entry by entry, from the definition of a convolution."""
    weight = operator.weight.double().numpy()
    outputs, per_group = weight.shape[:2]
    matrix = np.zeros((*operator.out_shape, *operator.in_shape))
    for out, *window in np.ndindex(*operator.out_shape):
        group = out // (outputs // operator.groups)
        for channel, *tap in np.ndindex(*weight.shape[1:]):
            pixel = [
                w * s - before + t * d
                for w, s, (before, _), t, d in zip(
                    window, operator.stride, operator.padding, tap, operator.dilation, strict=True
                )
            ]
            if all(0 <= p < n for p, n in zip(pixel, operator.in_shape[1:], strict=True)):
                place = (out, *window, group * per_group + channel, *pixel)
                matrix[place] += weight[(out, channel, *tap)]
    return matrix.reshape(operator.m, operator.n)


CASES: list[dict[str, Any]] = [
    {"in": (2, 7), "k": (3,), "out": 3},
    {"in": (4, 9), "k": (2,), "out": 4, "stride": 3, "padding": 1, "groups": 2},
    {"in": (1, 8), "k": (3,), "out": 2, "dilation": 2, "padding": 2},
    {"in": (1, 8), "k": (4,), "out": 2, "padding": ((1, 2),)},
    {"in": (3, 6, 5), "k": (3, 2), "out": 2},
    {"in": (3, 6, 5), "k": (3, 3), "out": 4, "padding": 1},
    {"in": (2, 7, 8), "k": (3, 3), "out": 3, "stride": 2, "padding": (1, 0)},
    {"in": (2, 8, 8), "k": (2, 2), "out": 3, "stride": 3},
    {"in": (2, 5, 6), "k": (3, 3), "out": 2, "padding": ((0, 2), (1, 0))},
    {"in": (4, 6, 6), "k": (3, 3), "out": 4, "groups": 4, "padding": 1},
    {"in": (4, 7, 7), "k": (3, 2), "out": 6, "groups": 2, "dilation": (2, 3), "stride": (1, 2)},
    {"in": (2, 4, 5, 4), "k": (2, 3, 2), "out": 2, "stride": (2, 1, 1), "padding": (0, 1, 1)},
    {"in": (2, 4, 4, 4), "k": (2, 2, 2), "out": 2, "groups": 2, "dilation": (1, 2, 3)},
    {"in": (1, 1, 1), "k": (1, 1), "out": 1},
    {"in": (1, 2, 2), "k": (5, 5), "out": 1, "padding": 2},
    {"in": (1, 7, 7), "k": (2, 2), "out": 1, "stride": 5, "padding": 3},
]


def build(case: dict[str, Any], dtype: torch.dtype = torch.float64) -> Convolution:
    options = {k: v for k, v in case.items() if k not in ("in", "k", "out")}
    shape = (case["out"], case["in"][0] // case.get("groups", 1), *case["k"])
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return Convolution(weight.to(dtype), case["in"], **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolution_is_the_matrix_of_its_definition(
    case: dict[str, Any], dtype: torch.dtype
) -> None:
    operator = build(case, dtype)
    check_operator(operator, loops(operator))


@pytest.mark.parametrize(
    "case", [case for case in CASES if not isinstance(case.get("padding", 0), tuple)], ids=str
)
def test_convolution_is_what_torch_computes(case: dict[str, Any]) -> None:
    operator = build(case)
    layer = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[len(case["k"])]
    options = {k: v for k, v in case.items() if k not in ("in", "k", "out")}
    twin = matrix_of(lambda x: layer(x, operator.weight, **options), case["in"])
    np.testing.assert_allclose(operator.to_dense().numpy(), twin, atol=1e-12)


@st.composite
def convolutions(draw: st.DrawFn) -> Convolution:
    axes = draw(st.integers(1, 2))
    groups = draw(st.integers(1, 2))

    def each(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))

    kernel, stride, dilation = each(1, 3), each(1, 4), each(1, 2)
    padding = list(zip(each(0, 2), each(0, 2), strict=True))
    reach = [
        max(1, d * (k - 1) + 1 - a - b)
        for k, d, (a, b) in zip(kernel, dilation, padding, strict=True)
    ]
    sizes = [least + more for least, more in zip(reach, each(0, 4), strict=True)]
    outs, ins = groups * draw(st.integers(1, 2)), draw(st.integers(1, 2))
    weight = torch.randn(outs, ins, *kernel, dtype=torch.float64)
    return Convolution(
        weight,
        (groups * ins, *sizes),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


@settings(max_examples=40, deadline=None)
@given(convolutions())
def test_any_convolution_is_the_matrix_of_its_definition(operator: Convolution) -> None:
    check_operator(operator, loops(operator))


def test_windows_that_lie_in_the_padding_alone_reach_no_pixel() -> None:
    weight = torch.ones(1, 1, 1, dtype=torch.float64)
    operator = Convolution(weight, (1, 1), stride=4, padding=[(2, 0)])
    check_operator(operator, loops(operator))
    assert not bool(operator.to_dense().any())


def test_pixels_that_no_window_covers_get_zeros_back() -> None:
    operator = Convolution(torch.ones(1, 1, 2, 2, dtype=torch.float64), (1, 7, 8), stride=3)
    back = operator.rmatvec(torch.ones(operator.out_shape, dtype=torch.float64))
    covered = np.zeros((7, 8), dtype=bool)
    for row, column in itertools.product((0, 3), (0, 3, 6)):
        covered[row : row + 2, column : column + 2] = True
    assert ((back[0] != 0).numpy() == covered).all()


WEIGHT = torch.zeros(4, 2, 3, 3)


@pytest.mark.parametrize(
    ("weight", "shape", "options", "words"),
    [
        (WEIGHT, (2, 2, 2), {}, "kernel is larger than the input"),
        (WEIGHT, (2, 4, 4), {"dilation": 2}, "kernel is larger than the input"),
        (WEIGHT, (2, 0, 4), {"padding": 4}, "kernel is larger than the input"),
        (WEIGHT, (3, 8, 8), {}, "2 input channels"),
        (WEIGHT, (2, 8), {}, "2 sizes"),
        (WEIGHT, (6, 8, 8), {"groups": 3}, "groups dividing 4"),
        (WEIGHT, (2, 8, 8), {"groups": 0}, "groups"),
        (WEIGHT, (2, 8, 8), {"stride": 0}, "stride"),
        (WEIGHT, (2, 8, 8), {"stride": (1, 2, 3)}, "stride"),
        (WEIGHT, (2, 8, 8), {"dilation": 0}, "dilation"),
        (WEIGHT, (2, 8, 8), {"padding": -1}, "padding"),
        (WEIGHT, (2, 8, 8), {"padding": ((1, 2, 3), (1, 2))}, "padding"),
        (torch.zeros(0, 2, 3, 3), (2, 8, 8), {}, "non-empty"),
        (torch.zeros(4, 0, 3, 3), (0, 8, 8), {}, "non-empty"),
        (torch.zeros(4, 2), (2, 8), {}, "kernel sizes"),
        (torch.zeros(4, 2, 3, 3, dtype=torch.int64), (2, 8, 8), {}, "floating-point"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    weight: torch.Tensor, shape: tuple[int, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        Convolution(weight, shape, **options)


# ---- windows that do not overlap ----

PATCHES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((4, 3, 2, 2), (3, 6, 4), {"stride": 2}),
    ((4, 3, 2, 2), (3, 7, 5), {"stride": 2}),  # a row and a column are never covered
    ((2, 1, 2, 3), (1, 9, 8), {"stride": (4, 3)}),  # gaps between windows
    ((6, 2, 2, 2), (4, 6, 6), {"stride": 2, "groups": 2}),
    ((4, 1, 2, 2), (4, 5, 5), {"stride": 3, "groups": 4}),
    ((2, 2, 2, 2), (2, 9, 9), {"stride": 4, "dilation": 3}),  # holes inside windows
    ((3, 2, 3), (2, 11), {"stride": 4}),
    ((2, 1, 2, 2, 2), (1, 4, 5, 6), {"stride": (2, 2, 3)}),
    ((5, 3, 1, 1), (3, 3, 3), {}),
]


def patches(weight: tuple[int, ...], shape: tuple[int, ...], options: dict[str, Any]) -> Any:
    generator = torch.Generator().manual_seed(3)
    numbers = torch.randn(weight, generator=generator, dtype=torch.float64)
    return Convolution(numbers, shape, **options)


@pytest.mark.parametrize(("weight", "shape", "options"), PATCHES)
def test_windows_that_do_not_overlap_are_patches(weight: Any, shape: Any, options: Any) -> None:
    operator = patches(weight, shape, options)
    assert operator.is_patchwise
    check_operator(operator, loops(operator))


@pytest.mark.parametrize(("weight", "shape", "options"), PATCHES)
def test_the_kernel_is_what_each_patch_is_multiplied_by(
    weight: Any, shape: Any, options: Any
) -> None:
    operator = patches(weight, shape, options)
    kernels = operator.weight.reshape(operator.groups, -1, math.prod(operator.weight.shape[1:]))
    count = math.prod(operator.out_shape[1:])
    rows = loops(operator).reshape(operator.groups, -1, count, operator.n)
    for group, patch in np.ndindex(operator.groups, count):
        one = rows[group, :, patch]
        kept = one[:, np.abs(one).sum(axis=0) > 0]
        np.testing.assert_allclose(kept, kernels[group].numpy())


@pytest.mark.parametrize(
    "options",
    [{"stride": 1}, {"stride": 2, "padding": 1}, {"stride": 2, "dilation": 2}, {"stride": (2, 1)}],
)
def test_overlapping_or_padded_windows_are_no_patches(options: dict[str, Any]) -> None:
    assert not Convolution(torch.zeros(2, 1, 2, 2), (1, 6, 6), **options).is_patchwise
