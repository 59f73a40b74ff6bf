"""Diagonal operators: BatchNorm and input normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fingerprint.errors import UsageError
from fingerprint.operators import Diagonal, batch_norm
from tests.support.operator_contract import check_operator, matrix_of


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("scale_shape", [(2, 3, 4), (2, 1, 1), (4,), (1, 3, 1), ()])
def test_diagonal_multiplies_what_broadcasting_reaches(
    scale_shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    scale = torch.randn(scale_shape, dtype=dtype)
    twin = np.diag(np.broadcast_to(scale.double().numpy(), (2, 3, 4)).reshape(-1))
    check_operator(Diagonal(scale, (2, 3, 4)), twin)


def test_a_zero_factor_takes_injectivity_away() -> None:
    assert Diagonal(torch.tensor([1.0, 1e-30]), (2,)).is_injective
    assert not Diagonal(torch.tensor([1.0, 0.0]), (2,)).is_injective


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3, affine=False), (3, 4)),
        (nn.BatchNorm2d(2, eps=0.1), (2, 3, 3)),
        (nn.BatchNorm3d(2), (2, 2, 2, 2)),
    ],
)
def test_batch_norm_in_evaluation_mode_is_a_scale_per_channel(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    layer = layer.double().eval()
    layer.running_var.copy_(torch.rand(shape[0]) + 0.1)
    layer.running_mean.copy_(torch.randn(shape[0]))
    if layer.affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    operator = batch_norm(shape, layer.running_var, layer.weight, layer.eps)
    check_operator(operator, matrix_of(layer, shape))
    assert operator.is_channelwise


def test_scales_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="broadcast"):
        Diagonal(torch.ones(3), (2, 4))
    with pytest.raises(UsageError, match="broadcast"):
        Diagonal(torch.ones(1, 1, 4), (2, 4))
    with pytest.raises(UsageError, match="channels"):
        batch_norm((3, 4, 4), torch.ones(2))
