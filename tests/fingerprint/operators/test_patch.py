"""Convolutions whose windows do not overlap: one block, repeated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fingerprint.errors import UsageError
from fingerprint.operators import Convolution, PatchConvolution, as_patches
from tests.fingerprint.operators.test_convolution import loops
from tests.support.operator_contract import check_operator

CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
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


def build(weight: tuple[int, ...], shape: tuple[int, ...], options: dict[str, Any]) -> Any:
    generator = torch.Generator().manual_seed(3)
    numbers = torch.randn(weight, generator=generator, dtype=torch.float64)
    return as_patches(Convolution(numbers, shape, **options))


@pytest.mark.parametrize(("weight", "shape", "options"), CASES)
def test_patch_convolution_is_a_convolution(weight: Any, shape: Any, options: Any) -> None:
    operator = build(weight, shape, options)
    assert isinstance(operator, PatchConvolution)
    check_operator(operator, loops(operator))


@pytest.mark.parametrize(("weight", "shape", "options"), CASES)
def test_its_block_on_gathered_patches_is_the_whole_map(
    weight: Any, shape: Any, options: Any
) -> None:
    operator = build(weight, shape, options)
    x = torch.randn(2, 3, *operator.in_shape, dtype=torch.float64)
    patches = operator.gather(x)
    assert patches.shape == (2, 3, operator.patches, operator.groups, operator.block_width)
    answers = np.einsum("goc,abpgc->abgop", operator.block().numpy(), patches.numpy())
    np.testing.assert_allclose(
        answers.reshape(2, 3, *operator.out_shape), operator.matvec(x).numpy(), atol=1e-12
    )


@pytest.mark.parametrize(("weight", "shape", "options"), CASES)
def test_scattering_inverts_gathering_where_windows_reach(
    weight: Any, shape: Any, options: Any
) -> None:
    operator = build(weight, shape, options)
    x = torch.randn(4, *operator.in_shape, dtype=torch.float64)
    patches = operator.gather(x)
    back = operator.scatter(patches)
    uncovered = operator.uncovered()
    assert torch.equal(back[:, ~uncovered], x[:, ~uncovered])
    assert not back[:, uncovered].any()
    assert torch.equal(operator.gather(back), patches)


@pytest.mark.parametrize(("weight", "shape", "options"), CASES)
def test_uncovered_entries_are_the_empty_columns(weight: Any, shape: Any, options: Any) -> None:
    operator = build(weight, shape, options)
    empty = np.abs(loops(operator)).sum(axis=0) == 0
    assert (operator.uncovered().reshape(-1).numpy() == empty).all()


@pytest.mark.parametrize(
    "options",
    [{"stride": 1}, {"stride": 2, "padding": 1}, {"stride": 2, "dilation": 2}, {"stride": (2, 1)}],
)
def test_overlapping_or_padded_windows_are_no_patches(options: dict[str, Any]) -> None:
    weight = torch.zeros(2, 1, 2, 2)
    convolution = Convolution(weight, (1, 6, 6), **options)
    assert not convolution.is_patchwise
    assert as_patches(convolution) is convolution
    with pytest.raises(UsageError, match="use Convolution"):
        PatchConvolution(weight, (1, 6, 6), **options)
