"""Theorem 1, Remark 1 and Corollaries 1 and 2: ``n − rank``, and when that is ``n − m``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint.operators import Convolution, Dense, LinearOperator, linear_operator
from fingerprint.spaces import generic_dimension, null_space
from tests.fingerprint.spaces.judge import dense, random


def dimension(operator: LinearOperator) -> int:
    """``n − rank`` by NumPy on the matrix written out."""
    return operator.n - int(np.linalg.matrix_rank(dense(operator)))


def doubled_kernel() -> Tensor:
    kernels = random(4, 2, 3, 3)
    kernels[3] = -2.0 * kernels[0]
    return kernels


def pruned() -> Tensor:
    weight = random(6, 10)
    weight[[1, 4]] = 0.0
    return weight


RIGHT: dict[str, LinearOperator] = {
    "patches": Convolution(random(10, 3, 4, 4), (3, 8, 8), stride=4),
    "overlapping windows": Convolution(random(2, 2, 3, 3), (2, 9, 9), stride=2),
    "one kernel, stride 1": Convolution(random(1, 3, 3, 3), (3, 6, 6)),
    "padded, few kernels": Convolution(random(2, 3, 3, 3), (3, 6, 6), padding=1),
    "more outputs than inputs": Convolution(random(18, 2, 3, 3), (2, 7, 7), stride=2, padding=1),
    "fully connected": Dense(random(6, 10)),
    "fully connected, more outputs": Dense(random(10, 6)),
}

WRONG: dict[str, tuple[LinearOperator, bool]] = {
    # The second entry: whether the assumptions of Corollary 1 hold and it is wrong all the same.
    "linearly dependent kernels": (Convolution(doubled_kernel(), (2, 6, 6)), False),
    "a stride larger than the kernel": (
        Convolution(random(9, 2, 2, 2), (2, 9, 9), stride=3),
        False,
    ),
    "inputs left over at the border": (Convolution(random(9, 1, 3, 3), (1, 8, 8), stride=2), True),
    "a mean with padding": (
        Convolution(torch.full((1, 1, 3, 3), 1 / 9).double(), (1, 8, 8), padding=1),
        True,
    ),
    "corner windows that read less than they give": (
        Convolution(random(64, 3, 7, 7), (3, 18, 18), stride=7, padding=3),
        True,
    ),
    "a fully connected layer with dead units": (Dense(pruned()), False),
}


@pytest.mark.parametrize("name", [*RIGHT, *WRONG])
def test_theorem_1_the_dimension_is_n_minus_rank(name: str) -> None:
    operator = RIGHT[name] if name in RIGHT else WRONG[name][0]
    assert null_space(operator).dimension == dimension(operator)


@pytest.mark.parametrize("name", RIGHT)
def test_corollaries_1_and_2_hold_for_layers_of_full_rank(name: str) -> None:
    assert generic_dimension(RIGHT[name]) == dimension(RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_corollaries_1_and_2_are_a_lower_bound_elsewhere(name: str) -> None:
    """Where the kernels are independent and no smaller than the stride, Corollary 1 is false."""
    operator, assumed = WRONG[name]
    assert generic_dimension(operator) < dimension(operator)
    if isinstance(operator, Convolution):
        kernels = operator.weight.reshape(len(operator.weight), -1)
        independent = int(np.linalg.matrix_rank(kernels.numpy())) == len(kernels)
        covers = all(
            side >= step
            for side, step in zip(operator.weight.shape[2:], operator.stride, strict=True)
        )
        assert (independent and covers) == assumed


def test_the_corner_windows_of_resnets_first_layer_are_short_of_inputs() -> None:
    """Each gives 64 outputs and reads 4 x 4 pixels of 3 channels: 16 of them are not needed."""
    operator, _ = WRONG["corner windows that read less than they give"]
    rows = dense(operator).reshape(64, 3, 3, -1)[:, 0, 0]
    assert int((np.abs(rows).max(axis=0) > 0).sum()) == 48
    assert np.linalg.matrix_rank(rows) == 48
    assert dimension(operator) == generic_dimension(operator) + 16


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "formula", "true"), [(6, 768, 792), (7, 1472, 1488)])
def test_corollary_1_is_wrong_for_resnets_first_layer_on_cifar_images(
    stride: int, formula: int, true: int
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 64, 7, stride=stride, padding=3, bias=False)
    operator = linear_operator(layer, (3, 32, 32))
    assert generic_dimension(operator) == formula
    assert dimension(operator) == true
    if stride == 7:  # windows apart; at stride 6 the decomposition takes half a minute
        assert null_space(operator).dimension == true


@pytest.mark.parametrize("stride", [1, 2])
def test_remark_1_independent_columns_leave_nothing(stride: int) -> None:
    operator = Convolution(random(20, 2, 3, 3), (2, 6, 6), stride=stride, padding=1)
    assert operator.n <= operator.m
    assert np.linalg.matrix_rank(dense(operator)) == operator.n
    assert null_space(operator).dimension == 0


def test_remark_1_needs_independent_columns() -> None:
    weight = random(12, 8)
    weight[:, 5] = weight[:, 2] - weight[:, 0]
    assert null_space(Dense(weight)).dimension == 1
    assert generic_dimension(Dense(weight)) == 0


@pytest.mark.parametrize(("kind", "expected"), [("mlp", 160), ("vit", 128), ("cnn", 0)])
def test_trained_layers_have_full_rank(kind: str, expected: int, request: Any) -> None:
    """The paper's special case, after Theorem 1: weights that were trained are independent."""
    network: Any = request.getfixturevalue(f"trained_{kind}")
    layer, shape = {
        "mlp": lambda: (network.layers[1], (256,)),
        "vit": lambda: (network.patch_embed, (1, 16, 16)),
        "cnn": lambda: (network.convolutions[0], (1, 16, 16)),
    }[kind]()
    operator = linear_operator(layer, shape)
    assert generic_dimension(operator) == dimension(operator) == expected
