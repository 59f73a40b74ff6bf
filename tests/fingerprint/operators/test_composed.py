"""Products, sums, stacks, functions, and what simplification makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fingerprint.errors import UsageError
from fingerprint.operators import (
    Convolution,
    Dense,
    Diagonal,
    Entries,
    Linearized,
    LinearOperator,
    Product,
    Repeated,
    Sum,
    compose,
    same_kernel,
    stacked,
)
from tests.support.operator_contract import check_operator


def random(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def flipped(x: Tensor) -> Tensor:
    return x.flip(1)


def moved(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Entries:
    return Entries.read(function, shape)


def dense(operator: LinearOperator) -> Any:
    return operator.to_dense().numpy()


A, B = Dense(random(4, 6), (2, 3), (2, 2)), Dense(random(3, 6), (2, 3), (3,))
C = Dense(random(6, 6), (2, 3), (2, 3))
CONVOLUTION = Convolution(random(4, 2, 3, 3), (4, 6, 6), stride=2, padding=1, groups=2)
SCALE = Diagonal(random(4, 1, 1), (4, 6, 6))


def test_a_product_is_the_product_of_the_matrices() -> None:
    check_operator(Product(A, C, C), dense(A) @ dense(C) @ dense(C))


def test_a_product_takes_entries_in_order_where_shapes_differ() -> None:
    flat = Dense(random(5, 4))
    check_operator(Product(flat, A), dense(flat) @ dense(A))


def test_a_stack_is_the_matrices_above_each_other() -> None:
    check_operator(stacked((A, B, C)), np.concatenate([dense(A), dense(B), dense(C)]))


def test_a_sum_is_the_sum_of_the_matrices() -> None:
    check_operator(Sum((A, A, A)), 3 * dense(A))


def test_a_sum_adds_outputs_at_their_rows() -> None:
    rows = [torch.tensor([4, 1, 2, 0]), torch.tensor([3, 1, 5])]
    operator = Sum((A, B), rows, (2, 3))
    twin = np.zeros((6, 6))
    for part, places in zip((A, B), rows, strict=True):
        twin[places.numpy()] += dense(part)
    assert not operator.is_apart
    check_operator(operator, twin)


def test_a_repetition_is_a_kronecker_product() -> None:
    check_operator(Repeated(A, (3,)), np.kron(np.eye(3), dense(A)))


def test_hints_of_composed_operators_follow_from_their_parts() -> None:
    injective, turn = moved(lambda x: functional.pad(x, (0, 1)), (2, 3)), moved(flipped, (2, 3))
    assert Product(Entries.identity((2, 3), (6,)), turn).is_orthogonal
    assert Product(injective).is_injective
    assert not Product(A, turn).is_injective
    assert stacked((A, injective)).is_injective
    assert not stacked((A, B)).is_injective
    assert Repeated(turn, (2,)).is_orthogonal
    assert not Sum((turn, turn)).is_injective


@pytest.mark.parametrize(
    "make",
    [
        Product,
        lambda: Product(A, A),
        lambda: Product(A, Dense(random(6, 6).float())),
        lambda: stacked(()),
        lambda: stacked((A, Dense(random(2, 5)))),
        lambda: Sum((A, B)),
        lambda: Sum(()),
    ],
)
def test_parts_that_do_not_fit_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        make()


# ---- compose ----

CHAINS: dict[str, list[LinearOperator]] = {
    "scale into convolution": [CONVOLUTION, SCALE],
    "one scale into convolution": [CONVOLUTION, Diagonal(random(), (4, 6, 6))],
    "padding into convolution": [
        Convolution(random(2, 3, 2, 2), (3, 6, 7)),
        moved(lambda x: functional.pad(x, (0, 3, 1, 1)), (3, 4, 4)),
    ],
    "scale into matrix": [Dense(random(3, 144), (4, 6, 6)), SCALE],
    "scale through flattening": [Dense(random(3, 144)), SCALE],
    "entries into matrix": [A, moved(lambda x: x.flip(1)[:, :, :3] * 2, (2, 5))],
    "permutations": [
        moved(lambda x: x.transpose(1, 2), (4, 2, 3)),
        moved(lambda x: x.permute(0, 3, 1, 2), (2, 3, 4)),
    ],
    "scales": [SCALE, SCALE],
    "scale and padding into convolution": [
        Convolution(random(2, 3, 2, 2), (3, 6, 7)),
        moved(lambda x: functional.pad(x, (0, 3, 1, 1)) * random(3, 1, 1), (3, 4, 4)),
    ],
    "nested": [Product(CONVOLUTION), Product(SCALE, SCALE)],
    "undone": [Entries.identity((3, 2), (6,)), Entries.identity((6,), (3, 2))],
    "identity in front": [A, Entries.identity((2, 3), (2, 3))],
}


@pytest.mark.parametrize("name", CHAINS)
def test_composing_changes_nothing(name: str) -> None:
    check_operator(compose(*CHAINS[name]), dense(Product(*CHAINS[name])))


@pytest.mark.parametrize("name", CHAINS)
def test_composing_leaves_one_factor(name: str) -> None:
    assert not isinstance(compose(*CHAINS[name]), Product)


def test_a_scale_that_differs_inside_a_channel_stays_a_factor() -> None:
    scale = Diagonal(random(4, 6, 6), (4, 6, 6))
    product = compose(CONVOLUTION, scale)
    assert isinstance(product, Product)
    check_operator(product, dense(CONVOLUTION) @ dense(scale))


def test_padding_of_channels_stays_a_factor() -> None:
    pad = moved(lambda x: functional.pad(x, (0, 0, 0, 0, 1, 0)), (3, 6, 6))
    assert isinstance(compose(CONVOLUTION, pad), Product)


# ---- same_kernel ----


def kernel_projection(matrix: Any) -> Any:
    """Orthogonal projection onto the null space, by a pseudo-inverse."""
    return np.eye(matrix.shape[1]) - np.linalg.pinv(matrix) @ matrix


KERNELS: dict[str, LinearOperator] = {
    "batch norm behind convolution": Product(Diagonal(random(4, 1, 1), (4, 3, 3)), CONVOLUTION),
    "dead channel": Product(
        Diagonal(torch.tensor([1.0, 0.0, 2.0, 3.0]).double().reshape(4, 1, 1), (4, 3, 3)),
        CONVOLUTION,
    ),
    "tokens padded": Product(
        moved(lambda x: functional.pad(x.reshape(-1, 4, 9).mT, (0, 0, 1, 0)), (4, 3, 3)),
        CONVOLUTION,
    ),
    "stack of one twice scaled": stacked((A, Product(Diagonal(random(2, 2), (2, 2)), A))),
    "nested stacks": stacked((stacked((A, B)), Product(Diagonal(random(3), (3,)), B))),
    "stack behind a matrix": Product(stacked((A, Diagonal(random(2, 3), (2, 3)))), C),
    "repetition": Repeated(Product(Diagonal(random(2, 2), (2, 2)), A), (2,)),
    "selection": Product(moved(lambda x: x[:, :1], (2, 2)), A),
    "alone": A,
    "injective": Entries.identity((2, 3), (6,)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_the_simpler_operator_has_the_same_null_space(name: str) -> None:
    operator = KERNELS[name]
    simpler = same_kernel(operator)
    assert simpler.in_shape == operator.in_shape
    np.testing.assert_allclose(
        kernel_projection(dense(simpler)), kernel_projection(dense(operator)), atol=1e-9
    )


@pytest.mark.parametrize("name", ["batch norm behind convolution", "tokens padded"])
def test_what_keeps_everything_is_dropped_behind_a_convolution(name: str) -> None:
    assert type(same_kernel(KERNELS[name])) is Convolution


def test_a_stack_with_an_injective_member_is_injective() -> None:
    assert same_kernel(stacked((A, Entries.identity((2, 3), (6,))))).is_injective


# ---- functions ----


def test_a_linearized_function_is_its_linear_part() -> None:
    matrix = random(5, 6)
    operator = Linearized(lambda x: (matrix @ x.reshape(-1)).reshape(5, 1) + 3.0, (2, 3))
    check_operator(operator, matrix.numpy())


def test_a_linearized_rearrangement_moves_entries() -> None:
    operator = Linearized(lambda x: x.roll(2, 0).flip(1), (4, 3))
    index = torch.arange(12).reshape(4, 3).roll(2, 0).flip(1)
    check_operator(operator, dense(Entries((4, 3), index)))
