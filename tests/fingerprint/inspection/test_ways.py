"""Every way to a spectrum finds what NumPy finds, or nothing; and costs grow as promised."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fingerprint.inspection.spectrum import Spectrum
from fingerprint.inspection.ways import rank_bound, ways
from fingerprint.operators import (
    Convolution,
    Dense,
    Diagonal,
    Entries,
    LinearOperator,
    Product,
    Repeated,
    linear_operator,
)

F64 = torch.float64


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=F64)


def _twins() -> torch.Tensor:
    """A depthwise kernel of which every second channel is the same, and one is zero."""
    kernel = _random(6, 1, 3, 3)
    kernel[1::2] = kernel[1]
    kernel[4] = 0.0
    return kernel


def _convolution(weight: torch.Tensor, *sizes: int, **settings: Any) -> Convolution:
    groups = settings.get("groups", 1)
    return Convolution(weight, (weight.shape[1] * groups, *sizes), **settings)


OPERATORS: dict[str, LinearOperator] = {
    "matrix": Dense(_random(7, 12)),
    "matrix, tall": Dense(_random(12, 7)),
    "matrix of deficient rank": Dense(_random(8, 3) @ _random(3, 9)),
    "on tokens": Repeated(Dense(_random(5, 8)), (2, 3)),
    "on tokens, turned": Product(
        Entries.read(lambda x: x.mT, (3, 5)),
        Repeated(Dense(_random(5, 8)), (3,)),
        Entries.identity((24,), (3, 8)),
    ),
    "batch norm": Diagonal(_random(4, 1, 1), (4, 3, 3)),
    "batch norm with a dead channel": Diagonal(
        torch.tensor([1.0, 0.0, -2.0], dtype=F64).reshape(3, 1), (3, 5)
    ),
    "patches": _convolution(_random(6, 3, 4, 4), 8, 8, stride=4),
    "patches with a gap": _convolution(_random(6, 3, 2, 2), 9, 9, stride=3),
    "patches in groups": _convolution(_random(6, 2, 2, 2), 6, 6, stride=2, groups=3),
    "one by one": _convolution(_random(5, 4, 1, 1), 3, 3),
    "overlapping": _convolution(_random(5, 3, 3, 3), 6, 7, padding=1),
    "overlapping, wide": _convolution(_random(3, 4, 3, 3), 7, 7, padding=1, stride=2),
    "determined window by window": _convolution(_random(30, 3, 3, 3), 6, 6, padding=1),
    "depthwise": _convolution(_random(6, 1, 3, 3), 5, 5, groups=6),
    "depthwise with twins": _convolution(_twins(), 5, 6, groups=6),
    "grouped": _convolution(_random(6, 2, 3, 3), 5, 5, groups=3, padding=1),
    "along one axis": _convolution(_random(4, 2, 5), 17, dilation=2),
    "average pooling": linear_operator(lambda x: functional.avg_pool2d(x, 3, 2, 1), (3, 7, 7)),
    "adaptive pooling": linear_operator(
        lambda x: functional.adaptive_avg_pool2d(x, (3, 2)), (2, 7, 5)
    ),
    "mean": linear_operator(lambda x: x.mean((2, 3)), (4, 6, 6)),
}


def _check(found: Spectrum, matrix: NDArray[np.float64]) -> None:
    rank = int(np.linalg.matrix_rank(matrix))
    assert found.rank == rank
    values = np.sort(np.linalg.svd(matrix, compute_uv=False)[:rank])
    ours = np.sort(np.repeat([v for v, _ in found.values], [c for _, c in found.values]))
    np.testing.assert_allclose(ours, values[: len(ours)], rtol=1e-8)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_way_that_finds_something_finds_what_numpy_finds(name: str) -> None:
    operator = OPERATORS[name]
    found = [way.run() for way in ways(operator, 3)]
    assert found[0] is not None
    for spectrum in found:
        if spectrum is not None:
            _check(spectrum, operator.to_dense().numpy())


@pytest.mark.parametrize("name", OPERATORS)
def test_the_first_way_finds_the_singular_values_asked_for(name: str) -> None:
    operator = OPERATORS[name]
    found = ways(operator, 3)[0].run()
    assert found is not None
    assert sum(count for _, count in found.values) >= min(3, found.rank)


@pytest.mark.parametrize("name", ["overlapping", "overlapping, wide", "grouped", "depthwise"])
def test_a_convolution_is_proven_of_full_rank_without_being_decomposed(name: str) -> None:
    spectrum = ways(OPERATORS[name], 3)[1].run()
    assert spectrum is not None
    assert len(spectrum.values) == 3


def test_windows_prove_the_rank_of_a_first_convolution_of_any_size() -> None:
    operator = _convolution(_random(30, 3, 3, 3), 64, 64, padding=1)
    way = ways(operator, 3)[2]
    spectrum = way.run()
    assert spectrum is not None
    assert spectrum.rank == operator.n
    assert way.flops < 1e8


@pytest.mark.parametrize("name", OPERATORS)
def test_the_bound_of_the_rank_is_one(name: str) -> None:
    rank = np.linalg.matrix_rank(OPERATORS[name].to_dense().numpy())
    assert rank <= rank_bound(OPERATORS[name]) <= min(OPERATORS[name].shape)


def test_a_kernel_of_deficient_rank_lowers_the_bound() -> None:
    kernel = _random(6, 4, 3, 3)
    kernel[5] = kernel[0]
    filters = _convolution(kernel, 8, 8, padding=1, stride=2)
    assert rank_bound(filters) == 5 * 4 * 4
    kernel = _random(6, 4, 3, 3)
    kernel[:, 3] = kernel[:, 0]
    channels = _convolution(kernel, 8, 8, padding=1)
    assert rank_bound(channels) == 3 * 8 * 8 == np.linalg.matrix_rank(channels.to_dense().numpy())


def test_estimates_are_made_without_building_anything() -> None:
    kernel = torch.ones(1, dtype=F64).expand(512, 512, 3, 3)
    found = ways(Convolution(kernel, (512, 4096, 4096), padding=1), 3)
    assert len(found) == 2
    assert all(way.entries > 2**40 and way.flops > 2**60 for way in found)


def test_a_patch_embedding_costs_the_same_at_any_image_size() -> None:
    kernel = _random(8, 3, 4, 4)
    small, large = (
        ways(Convolution(kernel, (3, side, side), stride=4), 3)[0] for side in (8, 4096)
    )
    assert (small.flops, small.entries) == (large.flops, large.entries)
    found = large.run()
    assert found is not None
    assert found.rank == 8 * math.prod((1024, 1024))
