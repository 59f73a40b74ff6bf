"""Lemmas 1.3 and 1.4: softmax, normalisation by rows, average pooling, linear layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint.errors import UsageError
from fingerprint.theory import harmless_set, set_of_call
from tests.fingerprint.theory.test_decomposition import random

ROWS: dict[str, tuple[nn.Module, tuple[int, ...], int]] = {
    "softmax": (nn.Softmax(dim=-1), (2, 3, 5), 6),
    "softmax along channels": (nn.Softmax(dim=1), (2, 3, 5), 10),
    "log-softmax": (nn.LogSoftmax(dim=1), (4, 7), 4),
    "softmin": (nn.Softmin(dim=0), (4, 7), 7),
    "layer norm": (nn.LayerNorm(5).double(), (2, 3, 5), 6),
    "layer norm over two axes": (nn.LayerNorm((3, 5)).double(), (2, 3, 5), 2),
    "group norm": (nn.GroupNorm(2, 4).double(), (3, 4, 5, 2), 6),
}


@pytest.mark.parametrize("name", ROWS)
def test_lemma_1_3_only_a_constant_added_to_a_row_is_not_noticed(name: str) -> None:
    """The dimension is that of the kernel of the layer's Jacobian, which autograd finds."""
    layer, shape, rows = ROWS[name]
    z = random(*shape)
    found = harmless_set(layer, z)
    jacobian: Any = torch.autograd.functional.jacobian(layer, z)
    kernel = scipy.linalg.null_space(jacobian.reshape(z.numel(), -1).numpy(), rcond=1e-10)
    assert found.dimension == kernel.shape[1] == rows
    assert found.free == 0
    assert not found.contains(torch.from_numpy(kernel[:, :1]).reshape(shape) + random(*shape))
    members = found.sample(torch.Generator().manual_seed(1), count=(2 * rows,)).reshape(
        2 * rows, -1
    )
    assert np.linalg.matrix_rank(members) == rows
    np.testing.assert_allclose(members.numpy() @ kernel @ kernel.T, members, atol=1e-10)
    with torch.no_grad():
        for size in (1.0, 100.0):
            drawn = found.sample(torch.Generator().manual_seed(0), size=size)
            assert float(drawn.abs().max()) > 0.3 * size
            assert found.contains(drawn)
            torch.testing.assert_close(layer(z + drawn), layer(z), atol=1e-12 * size, rtol=0)
            drawn = drawn + 1e-6 * (torch.arange(z.numel()).reshape(shape) == 3)
            assert not found.contains(drawn)
            assert float((layer(z + drawn) - layer(z)).abs().max()) > 1e-9


@pytest.mark.parametrize("function", ["softmax", "log_softmax"])
def test_lemma_1_3_far_from_the_features_too(function: str) -> None:
    """Equal softmax of any two inputs means that they differ by a constant."""
    z, other = random(1, 4), 5 * random(6, 4, seed=1)
    found = set_of_call(function, z, (-1,))
    softmax = getattr(torch, function)
    recovered = torch.log_softmax(other, -1) - torch.log_softmax(z, -1) + 3.0
    answers, members = softmax(z + recovered, -1), softmax(other, -1)
    torch.testing.assert_close(answers, members)
    assert not found.contains((other - z)[:, None]).any()
    assert found.contains((other - (other - 7.0))[:, None]).all()


def test_softmax_of_one_class_notices_nothing() -> None:
    found = set_of_call("softmax", random(3, 1), (1,))
    assert found.free == found.dimension == 3


def test_instance_norm_is_group_norm_with_a_group_for_each_channel() -> None:
    z = random(2, 3, 4, 4)
    found = set_of_call("instance_norm", z)
    assert found.dimension == 6
    drawn = found.sample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        nn.functional.instance_norm(z + drawn), nn.functional.instance_norm(z)
    )


def test_rms_norm_tells_all_features_apart() -> None:
    layer, z = nn.RMSNorm(5, eps=1e-3).double(), random(2, 5)
    assert harmless_set(layer, z).dimension == 0
    with torch.no_grad():
        for delta in (torch.ones_like(z), z, random(2, 5, seed=1)):
            assert float((layer(z + delta) - layer(z)).abs().max()) > 1e-5


@pytest.mark.parametrize("zeros", [0, 1, 2, 4, 5])
def test_the_dimensions_that_weights_of_zero_hide_are_those_of_the_jacobian(zeros: int) -> None:
    layer, z = nn.LayerNorm(5).double(), random(2, 5)
    with torch.no_grad():
        layer.weight[:zeros] = 0.0
    found = harmless_set(layer, z)
    jacobian = torch.autograd.functional.jacobian(layer, z).reshape(10, 10)
    assert found.dimension == 10 - np.linalg.matrix_rank(jacobian.numpy(), tol=1e-9)
    # One alone hides nothing: centred entries add up to zero.
    assert ("part of the set" in found.note) == (zeros > 1)


@pytest.mark.parametrize("zeros", [[], [1], [0, 1], [0, 2], [0, 1, 2, 3]])
def test_channels_of_weight_zero_hide_dimensions_of_their_groups(zeros: list[int]) -> None:
    layer, z = nn.GroupNorm(2, 4).double(), random(2, 4, 3)
    with torch.no_grad():
        layer.weight[zeros] = 0.0
    jacobian = torch.autograd.functional.jacobian(layer, z).reshape(24, 24)
    rank = np.linalg.matrix_rank(jacobian.numpy(), tol=1e-9)
    assert harmless_set(layer, z).dimension == 24 - rank


def test_without_eps_scaling_would_be_harmless_too_and_is_refused() -> None:
    z = random(1, 4)
    scaled = z.mean() + 3 * (z - z.mean())
    torch.testing.assert_close(
        nn.functional.layer_norm(scaled, (4,), eps=0.0), nn.functional.layer_norm(z, (4,), eps=0.0)
    )
    with pytest.raises(UsageError, match="positive eps"):
        set_of_call("layer_norm", z, ((4,),), {"eps": 0.0})
    torch.testing.assert_close(
        set_of_call("layer_norm", z, ((4,),)).contains((scaled - z)[None]), torch.tensor([False])
    )


@pytest.mark.parametrize("dim", [-4, 3])
def test_axes_that_are_not_there_are_refused(dim: int) -> None:
    with pytest.raises(UsageError, match="Dimension out of range"):
        harmless_set(nn.Softmax(dim), random(2, 3, 5))


def written_out(layer: Any, z: Tensor) -> NDArray[Any]:
    """The matrix of a linear layer without bias, by running it on unit vectors."""
    units = torch.eye(z.numel(), dtype=z.dtype).reshape(z.numel(), *z.shape)
    with torch.no_grad():
        bias = layer(torch.zeros_like(z))
        columns = [(layer(unit) - bias).reshape(-1).numpy() for unit in units]
    return np.stack(columns, axis=1)


LINEAR: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "pooling": (nn.AvgPool2d(2), (1, 2, 6, 6)),
    "pooling that leaves entries over": (nn.AvgPool2d(3), (2, 1, 7, 8)),
    "overlapping pooling": (nn.AvgPool2d(3, stride=2, padding=1), (1, 2, 6, 7)),
    "pooling in one dimension": (nn.AvgPool1d(4, 2), (2, 3, 11)),
    "strided pooling": (nn.AvgPool2d(2, stride=3), (1, 1, 8, 8)),
    "global pooling": (nn.AdaptiveAvgPool2d(1), (1, 3, 4, 4)),
    "adaptive pooling": (nn.AdaptiveAvgPool2d((2, 3)), (1, 1, 5, 7)),
    "convolution": (nn.Conv2d(2, 2, 3, stride=2).double(), (2, 2, 7, 7)),
    "linear": (nn.Linear(9, 4).double(), (3, 9)),
    "batch norm": (nn.BatchNorm2d(3).double().eval(), (1, 3, 2, 2)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_lemma_1_4_average_pooling_and_linear_layers_have_scipys_null_space(name: str) -> None:
    layer, shape = LINEAR[name]
    z = random(*shape)
    found = harmless_set(layer, z)
    matrix = written_out(layer, z)
    kernel = scipy.linalg.null_space(matrix)
    assert found.dimension == kernel.shape[1]
    assert found.free == int((np.abs(matrix).max(axis=0) == 0).sum())
    low, high = found.piece()
    np.testing.assert_array_equal((high > low).reshape(-1).numpy(), np.abs(matrix).max(axis=0) == 0)
    members = torch.from_numpy(kernel.T.copy()).reshape(-1, *shape)
    assert found.contains(members).all()
    assert not found.contains(random(4, *shape, seed=1)).any()
    drawn = found.sample(torch.Generator().manual_seed(0), size=50.0, count=(3,))
    with torch.no_grad():
        for delta in drawn:
            torch.testing.assert_close(layer(z + delta), layer(z), atol=1e-11, rtol=0)
    assert bool(drawn.any()) == (kernel.shape[1] > 0)
