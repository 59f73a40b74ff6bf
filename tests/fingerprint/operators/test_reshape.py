"""Operators that only move entries, against NumPy on an identity matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fingerprint.errors import UsageError
from fingerprint.operators import Gather, LinearOperator, Pad, Permute, Reshape, Select
from tests.support.operator_contract import check_operator

Rows = NDArray[np.float64]


def rows(operator: LinearOperator, function: Callable[[Rows], Rows]) -> Rows:
    """Applies a NumPy function to each basis vector."""
    basis = np.eye(operator.n).reshape(operator.n, *operator.in_shape)
    return np.stack([function(vector).reshape(-1) for vector in basis], axis=1)


CASES: dict[str, tuple[LinearOperator, Callable[[Rows], Rows]]] = {
    "reshape": (Reshape((2, 6), (3, 4)), lambda x: x.reshape(3, 4)),
    "reshape from none": (Reshape((1,), (1, 1, 1)), lambda x: x.reshape(1, 1, 1)),
    "permute": (Permute((2, 3, 4), (2, 0, 1)), lambda x: x.transpose(2, 0, 1)),
    "permute back": (Permute((2, 3, 4), (1, 2, 0)), lambda x: x.transpose(1, 2, 0)),
    "pad": (Pad((2, 3), [(1, 0), (2, 1)]), lambda x: np.pad(x, [(1, 0), (2, 1)])),
    "pad nothing": (Pad((2, 3), [(0, 0), (0, 0)]), lambda x: x),
    "select": (Select((4, 5), [slice(1, 3), slice(0, 5, 2)]), lambda x: x[1:3, 0:5:2]),
    "select from the end": (Select((6,), [slice(-4, None, 3)]), lambda x: x[-4::3]),
    "select all": (Select((3, 2), [(0, 3, 1), (0, 2, 1)]), lambda x: x),
    "flip": (Gather((4,), torch.tensor([3, 2, 1, 0])), lambda x: x[::-1]),
    "repeat with zeros": (
        Gather((3,), torch.tensor([[0, 0, -1], [2, -1, 2]])),
        lambda x: np.array([[x[0], x[0], 0], [x[2], 0, x[2]]]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_entries_go_where_numpy_puts_them(name: str) -> None:
    operator, function = CASES[name]
    check_operator(operator, rows(operator, function))


@pytest.mark.parametrize(
    ("name", "injective", "orthogonal"),
    [
        ("reshape", True, True),
        ("permute", True, True),
        ("pad", True, False),
        ("select", False, False),
        ("select all", True, False),
        ("flip", True, True),
        ("repeat with zeros", False, False),
    ],
)
def test_hints_say_what_the_structure_shows(name: str, injective: bool, orthogonal: bool) -> None:
    operator, _ = CASES[name]
    assert (operator.is_injective, operator.is_orthogonal) == (injective, orthogonal)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Reshape((2, 3), (7,)),
        lambda: Permute((2, 3), (0, 0)),
        lambda: Pad((2, 3), [(0, 0)]),
        lambda: Pad((2,), [(0, -1)]),
        lambda: Select((4,), [slice(0, 4), slice(0, 1)]),
        lambda: Select((4,), [slice(None, None, -1)]),
        lambda: Select((4,), [slice(4, 4)]),
        lambda: Gather((4,), torch.tensor([4])),
        lambda: Gather((4,), torch.tensor([-2])),
        lambda: Gather((4,), torch.tensor([0.0])),
        lambda: Gather((4,), torch.zeros(0, dtype=torch.int64)),
    ],
)
def test_settings_that_do_not_fit_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        make()
