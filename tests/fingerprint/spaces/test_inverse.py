"""Proofs of full rank from a factored Gram matrix, against NumPy's decomposition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import toeplitz

from fingerprint.errors import UsageError
from fingerprint.operators.convolution import Convolution
from fingerprint.spaces.inverse import band_size, from_convolution, from_matrix, gram_band

CASES: dict[str, dict[str, Any]] = {
    "tall": {"kernel": (8, 4, 3, 3), "sizes": (7, 9), "padding": 1},
    "strided": {"kernel": (8, 4, 3, 3), "sizes": (7, 9), "padding": 1, "stride": 2},
    "wide": {"kernel": (3, 4, 3, 3), "sizes": (9, 8), "padding": 1, "stride": 2},
    "one axis, dilated": {"kernel": (6, 3, 3), "sizes": (20,), "dilation": 2},
    "three axes": {"kernel": (5, 2, 2, 3, 2), "sizes": (4, 5, 6)},
    "kernel longer than an axis": {"kernel": (16, 4, 5, 5), "sizes": (4, 6), "padding": 2},
    "one channel": {"kernel": (1, 1, 3, 3), "sizes": (5, 5), "padding": (0, 1)},
}


def _convolution(kernel: tuple[int, ...], sizes: tuple[int, ...], **settings: Any) -> Convolution:
    generator = torch.Generator().manual_seed(len(kernel))
    weight = torch.randn(kernel, generator=generator, dtype=torch.float64)
    return Convolution(weight, (kernel[1], *sizes), **settings)


def _smallest(matrix: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    return np.sort(np.linalg.svd(matrix, compute_uv=False))[:k]


@pytest.mark.parametrize("name", CASES)
def test_the_band_holds_the_smaller_gram_matrix_pixel_by_pixel(name: str) -> None:
    operator = _convolution(**CASES[name])
    matrix = operator.to_dense().numpy()
    wide = operator.m < operator.n
    gram = matrix @ matrix.T if wide else matrix.T @ matrix
    channels = operator.out_shape[0] if wide else operator.in_shape[0]
    order = np.arange(len(gram)).reshape(channels, -1).T.reshape(-1)
    gram = gram[np.ix_(order, order)]
    band = gram_band(operator)
    assert (band.shape[1], band.shape[0] - 1) == band_size(operator)
    below = np.tril(np.ones_like(gram)) > 0
    rows, columns = np.nonzero(below & (np.abs(gram) > 1e-12))
    assert int((rows - columns).max()) < len(band)
    unfolded = np.zeros_like(gram)
    for offset, diagonal in enumerate(band):
        unfolded += np.diag(diagonal[: len(gram) - offset], -offset)
    np.testing.assert_allclose(unfolded, np.tril(gram), atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_the_smallest_singular_values_of_a_convolution_are_numpys(name: str) -> None:
    operator = _convolution(**CASES[name])
    found = from_convolution(operator, 3)
    matrix = operator.to_dense().numpy()
    assert found is not None
    assert found.rank == min(operator.shape) == np.linalg.matrix_rank(matrix)
    np.testing.assert_allclose(found.values, _smallest(matrix, 3), rtol=1e-9)
    assert found.proven < found.values[0]
    assert np.linalg.norm(matrix, 2) <= found.largest


@pytest.mark.parametrize("shape", [(40, 40), (60, 30), (30, 60), (25, 3), (1, 7)])
def test_the_smallest_singular_values_of_a_matrix_are_numpys(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).standard_normal(shape)
    found = from_matrix(torch.from_numpy(matrix), 3)
    assert found is not None
    assert found.rank == min(shape)
    np.testing.assert_allclose(found.values, _smallest(matrix, 3), rtol=1e-9)


def test_a_strided_view_is_read_as_it_is() -> None:
    whole = torch.from_numpy(np.random.default_rng(0).standard_normal((60, 80)))
    view = whole[::2, ::2].T
    found = from_matrix(view, 2)
    assert found is not None
    np.testing.assert_allclose(found.values, _smallest(view.numpy(), 2), rtol=1e-9)


def test_a_deficient_rank_is_never_proven_full() -> None:
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 30)))
    matrix[:, 7] = matrix[:, 3] - matrix[:, 5]
    assert from_matrix(matrix, 3) is None
    operator = _convolution(**CASES["tall"])
    operator.weight[:, 3] = operator.weight[:, 0]
    assert from_convolution(operator, 3) is None
    assert from_matrix(torch.zeros(4, 4, dtype=torch.float64), 3) is None


def test_values_below_what_the_gram_matrix_can_tell_are_not_taken_for_proven() -> None:
    values = np.ones(40)
    values[-1] = 1e-9  # its square drowns in the rounding of the others
    left = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))[0]
    assert from_matrix(torch.from_numpy((left * values) @ left.T), 3) is None


def test_inputs_that_nothing_reads_lower_the_rank_and_are_no_singular_values() -> None:
    operator = _convolution(**CASES["tall"])
    operator.weight[:, 2] = 0.0
    found = from_convolution(operator, 3)
    matrix = operator.to_dense().numpy()
    assert found is not None
    assert found.rank == np.linalg.matrix_rank(matrix) == operator.n - 7 * 9
    nonzero = np.linalg.svd(matrix, compute_uv=False)[: found.rank]
    np.testing.assert_allclose(found.values, np.sort(nonzero)[:3], rtol=1e-9)


def test_few_inputs_of_which_some_are_unread_have_no_singular_value_of_zero() -> None:
    operator = _convolution(kernel=(2, 2, 2, 2), sizes=(3, 3), padding=1)
    operator.weight[:, 1] = 0.0
    found = from_convolution(operator, 12)
    nonzero = np.linalg.svd(operator.to_dense().numpy(), compute_uv=False)[:9]
    assert found is not None
    assert found.rank == 9
    np.testing.assert_allclose(found.values, np.sort(nonzero), rtol=1e-9)


def test_equal_singular_values_are_found_as_often_as_they_occur() -> None:
    # A symmetric kernel that is the same along both axes has its singular values in pairs.
    kernel = torch.tensor([1.0, 2.5, 1.0], dtype=torch.float64)
    operator = Convolution((kernel[:, None] * kernel)[None, None], (1, 12, 12), padding=1)
    line = toeplitz([2.5, 1.0] + [0.0] * 10)
    found = from_convolution(operator, 4)
    assert found is not None
    np.testing.assert_allclose(found.values, _smallest(np.kron(line, line), 4), rtol=1e-9)


@pytest.mark.parametrize("k", [40, 200])
def test_as_many_values_are_found_as_are_asked_for(k: int) -> None:
    operator = _convolution(**CASES["tall"])
    found = from_convolution(operator, k)
    assert found is not None
    np.testing.assert_allclose(found.values, _smallest(operator.to_dense().numpy(), k), rtol=1e-9)


def test_no_values_are_found_where_none_are_asked_for() -> None:
    found = from_convolution(_convolution(**CASES["tall"]), 0)
    assert found is not None
    assert found.values == ()


def test_groups_are_taken_one_at_a_time() -> None:
    with pytest.raises(UsageError, match="one group"):
        gram_band(Convolution(torch.ones(2, 1, 3, dtype=torch.float64), (2, 9), groups=2))
