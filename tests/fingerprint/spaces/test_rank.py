from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint.spaces.rank import (
    gram_cutoff,
    numerical_rank,
    proves_full_rank,
    relative_cutoff,
)
from tests.fingerprint.spaces.judge import random


def test_a_zero_matrix_has_rank_zero() -> None:
    assert numerical_rank(torch.zeros(4), (4, 9), torch.float64) == 0
    assert numerical_rank(torch.zeros(0), (0, 9), torch.float64) == 0


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (7, 7)])
def test_the_cutoff_is_numpys(shape: tuple[int, int]) -> None:
    values = torch.tensor([1.0, 2.1e-15, 1.9e-15, 1.5e-15, 1e-16], dtype=torch.float64)
    expected = int((values.numpy() > max(shape) * np.finfo(np.float64).eps).sum())
    assert numerical_rank(values, shape, torch.float64) == expected


def test_a_block_is_judged_by_the_largest_value_of_all_blocks() -> None:
    values = torch.tensor([1e-17, 1e-18], dtype=torch.float64)
    assert numerical_rank(values, (2, 2), torch.float64) == 2
    assert numerical_rank(values, (2, 2), torch.float64, largest=1.0) == 0


def test_half_precision_weights_do_not_lose_their_rank() -> None:
    # bfloat16's own eps times 3072 exceeds one and would call every matrix zero.
    assert relative_cutoff((3072, 3072), torch.bfloat16) < 1e-3


@pytest.mark.parametrize("smallest", [1e-2, 1e-5, 1e-9, 0.0])
def test_a_gram_matrix_proves_only_what_is_safely_so(smallest: float) -> None:
    axes = torch.linalg.qr(random(30, 30)).Q
    values = torch.ones(30, dtype=torch.float64)
    values[-1] = smallest
    matrix = axes * values
    proven = proves_full_rank(matrix.T @ matrix, (30, 30), torch.float64)
    assert proven == (smallest**2 > 30 * gram_cutoff(1.0, (30, 30), torch.float64))


def test_a_zero_gram_matrix_proves_nothing() -> None:
    assert not proves_full_rank(torch.zeros(3, 3).double(), (3, 3), torch.float64)
