"""Maps that move and scale entries, against NumPy on an identity matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fingerprint.errors import UsageError
from fingerprint.operators import Diagonal, Entries, LinearOperator
from fingerprint.operators.entries import simplest
from tests.support.operator_contract import check_operator

Rows = NDArray[np.float64]


def rows(operator: LinearOperator, function: Callable[[Rows], Rows]) -> Rows:
    """Applies a NumPy function to each basis vector."""
    basis = np.eye(operator.n).reshape(operator.n, *operator.in_shape)
    return np.stack([function(vector).reshape(-1) for vector in basis], axis=1)


FACTORS = torch.tensor([2.0, 0.0, -3.0], dtype=torch.float64)
CASES: dict[str, tuple[LinearOperator, Callable[[Rows], Rows]]] = {
    "reshape": (Entries.identity((2, 6), (3, 4)), lambda x: x.reshape(3, 4)),
    "permute": (
        Entries.read(lambda x: x.permute(0, 3, 1, 2), (2, 3, 4)),
        lambda x: x.transpose(2, 0, 1),
    ),
    "pad": (
        Entries.read(lambda x: functional.pad(x, (2, 1, 1, 0)), (2, 3)),
        lambda x: np.pad(x, [(1, 0), (2, 1)]),
    ),
    "select": (
        Entries.read(lambda x: x[:, 1:3, 0:5:2], (4, 5)),
        lambda x: x[1:3, 0:5:2],
    ),
    "flip": (Entries((4,), torch.tensor([3, 2, 1, 0])), lambda x: x[::-1]),
    "repeat with zeros": (
        Entries((3,), torch.tensor([[0, 0, -1], [2, -1, 2]])),
        lambda x: np.array([[x[0], x[0], 0], [x[2], 0, x[2]]]),
    ),
    "flip and scale": (
        Entries.read(lambda x: x.flip(1) * FACTORS, (3,)),
        lambda x: x[::-1] * FACTORS.numpy(),
    ),
    "scale, then move": (
        Entries((3,), torch.tensor([2, 2, -1, 0])).after(Diagonal(FACTORS, (3,)).entries()),
        lambda x: np.array([-3 * x[2], -3 * x[2], 0, 2 * x[0]]),
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
        ("flip", True, True),
        ("repeat with zeros", False, False),
        ("flip and scale", False, False),
    ],
)
def test_hints_say_what_the_structure_shows(name: str, injective: bool, orthogonal: bool) -> None:
    operator, _ = CASES[name]
    assert (operator.is_injective, operator.is_orthogonal) == (injective, orthogonal)


@pytest.mark.parametrize("name", CASES)
def test_weights_are_the_norms_of_columns(name: str) -> None:
    operator, function = CASES[name]
    assert isinstance(operator, Entries)
    expected = np.linalg.norm(rows(operator, function), axis=0)
    np.testing.assert_allclose(operator.weights().numpy(), expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Entries.identity((2, 3), (7,)),
        lambda: Entries((4,), torch.tensor([4])),
        lambda: Entries((4,), torch.tensor([-2])),
        lambda: Entries((4,), torch.tensor([0.0])),
        lambda: Entries((4,), torch.zeros(0, dtype=torch.int64)),
    ],
)
def test_positions_that_do_not_fit_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        make()


def test_a_scale_for_each_channel_is_found_in_one_for_each_entry() -> None:
    scale = torch.tensor([2.0, 0.0, 2.0], dtype=torch.float64).reshape(3, 1, 1)
    found = simplest(Diagonal(scale, (3, 4, 5)).entries())
    assert isinstance(found, Diagonal)
    assert torch.equal(found.scale, scale)
    assert found.is_channelwise


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


def test_scales_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="broadcast"):
        Diagonal(torch.ones(3), (2, 4))
    with pytest.raises(UsageError, match="broadcast"):
        Diagonal(torch.ones(1, 1, 4), (2, 4))
