"""What is counted of nonlinear calls, against counting by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fingerprint.inspection.nonlinear import freedom

Z = torch.tensor([[-2.0, -0.5, 0.0, 0.5, 2.0, 7.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("function", "args", "free"),
    [
        ("relu", (), 3),
        ("relu6", (), 4),
        ("hardtanh", (), 3),
        ("clamp", (0.0,), 3),
        ("gelu", (), 0),
        ("silu", (), 0),
        ("sigmoid", (), 0),
        ("tanh", (), 0),
    ],
)
def test_entries_on_a_flat_piece_are_free(function: str, args: Any, free: int) -> None:
    found = freedom(function, Z, args, {})
    assert (found.free, found.dimension) == (free, free)


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [("softmax", (), {"dim": -1}), ("log_softmax", (1,), {}), ("layer_norm", ((6,),), {})],
)
def test_a_row_moves_only_as_a_whole(function: str, args: Any, kwargs: Any) -> None:
    rows = Z.repeat(3, 1)
    found = freedom(function, rows, args, kwargs)
    assert (found.free, found.dimension) == (0, 3)


def test_all_but_the_maximum_of_each_window_is_free() -> None:
    z = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert freedom("max_pool2d", z, (2,), {}).free == 12
    assert freedom("amax", z, ((2, 3),), {"keepdim": True}).free == 15
    assert freedom("amax", z, (2,), {}).free == 12
    assert freedom("amax", z, (), {}).free == 15
    assert freedom("amax", z, (), {"dim": None}).free == 15


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("scaled_dot_product_attention", "attention"),
        ("matmul", "product of two features"),
        ("conv2d", "weights depend on the input"),
        ("batch_norm", "the batch's own statistics"),
        ("lp_pool2d", "no closed form"),
    ],
)
def test_what_is_not_counted_says_why(function: str, says: str) -> None:
    found = freedom(function, Z, (), {})
    assert found.free is found.dimension is None
    assert found.note.startswith("not computed: ")
    assert says in found.note


def test_nan_features_are_not_counted() -> None:
    broken: Tensor = Z.clone()
    broken[0, 0] = float("nan")
    assert "NaN" in freedom("relu", broken, (), {}).note
