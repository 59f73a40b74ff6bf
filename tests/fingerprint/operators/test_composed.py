"""Products, stacks, sums, repetitions, and what simplification makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fingerprint.errors import UsageError
from fingerprint.operators import (
    Convolution,
    Dense,
    Diagonal,
    Gather,
    LinearOperator,
    Pad,
    PatchConvolution,
    Permute,
    Product,
    Repeated,
    Reshape,
    Select,
    Stack,
    Sum,
    Traced,
    compose,
    same_kernel,
)
from tests.support.operator_contract import check_operator


def random(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def dense(operator: LinearOperator) -> Any:
    return operator.to_dense().numpy()


A, B = Dense(random(4, 6), (2, 3), (2, 2)), Dense(random(3, 6), (2, 3), (3,))
C = Dense(random(6, 6), (2, 3), (2, 3))
CONVOLUTION = Convolution(random(4, 2, 3, 3), (4, 6, 6), stride=2, padding=1, groups=2)
SCALE = Diagonal(random(4, 1, 1), (4, 6, 6))


def test_a_product_is_the_product_of_the_matrices() -> None:
    check_operator(Product(A, C, C), dense(A) @ dense(C) @ dense(C))


def test_a_stack_is_the_matrices_above_each_other() -> None:
    check_operator(Stack((A, B, C)), np.concatenate([dense(A), dense(B), dense(C)]))


@pytest.mark.parametrize("dim", [0, 1])
def test_a_stack_along_an_axis_concatenates_outputs(dim: int) -> None:
    other = Dense(random(4, 6), (2, 3), (2, 2))
    x = np.eye(6)
    outputs = [(x @ dense(o).T).reshape(6, 2, 2) for o in (A, other)]
    twin = np.concatenate(outputs, axis=1 + dim).reshape(6, -1).T
    check_operator(Stack((A, other), dim=dim), twin)


def test_a_sum_is_the_sum_of_the_matrices() -> None:
    check_operator(Sum((A, A, A)), 3 * dense(A))


def test_a_repetition_is_a_kronecker_product() -> None:
    check_operator(Repeated(A, (3,)), np.kron(np.eye(3), dense(A)))


def test_hints_of_composed_operators_follow_from_their_parts() -> None:
    injective = Pad((2, 3), [(1, 0), (0, 1)])
    turn = Permute((2, 3), (1, 0))
    assert Product(Reshape((3, 2), (6,)), turn).is_orthogonal
    assert Product(injective).is_injective
    assert not Product(A, Permute((3, 2), (1, 0))).is_injective
    assert Stack((A, injective)).is_injective
    assert not Stack((A, B)).is_injective
    assert Repeated(turn, (2,)).is_orthogonal
    assert not Sum((turn, turn)).is_injective


@pytest.mark.parametrize(
    "make",
    [
        Product,
        lambda: Product(A, A),
        lambda: Product(A, Reshape((6,), (2, 3), dtype=torch.float32)),
        lambda: Stack(()),
        lambda: Stack((A, Dense(random(2, 5)))),
        lambda: Stack((A, B), dim=0),
        lambda: Stack((A, A), dim=2),
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
        Pad((3, 4, 4), [(0, 0), (1, 1), (0, 3)]),
    ],
    "scale into matrix": [Dense(random(3, 144), (4, 6, 6)), SCALE],
    "scale through flattening": [Dense(random(3, 144)), Reshape((4, 6, 6), (144,)), SCALE],
    "reshape around matrix": [Reshape((2, 2), (4,)), A, Reshape((6,), (2, 3))],
    "reshapes": [Reshape((4, 3), (12,)), Reshape((2, 6), (4, 3)), Reshape((12,), (2, 6))],
    "permutations": [Permute((4, 2, 3), (1, 0, 2)), Permute((2, 3, 4), (2, 0, 1))],
    "scales": [SCALE, SCALE],
    "nested": [Product(Reshape((4, 3, 3), (36,)), CONVOLUTION), Product(SCALE, SCALE)],
    "undone": [Reshape((3, 2), (6,)), Reshape((6,), (3, 2))],
    "identity in front": [A, Reshape((2, 3), (2, 3))],
}


@pytest.mark.parametrize("name", CHAINS)
def test_composing_changes_nothing(name: str) -> None:
    check_operator(compose(*CHAINS[name]), dense(Product(*CHAINS[name])))


@pytest.mark.parametrize("name", [name for name in CHAINS if name != "nested"])
def test_composing_leaves_one_factor(name: str) -> None:
    assert not isinstance(compose(*CHAINS[name]), Product)


def test_a_scale_that_differs_inside_a_channel_stays_a_factor() -> None:
    scale = Diagonal(random(4, 6, 6), (4, 6, 6))
    product = compose(CONVOLUTION, scale)
    assert isinstance(product, Product)
    check_operator(product, dense(CONVOLUTION) @ dense(scale))


def test_padding_of_channels_stays_a_factor() -> None:
    pad = Pad((3, 6, 6), [(1, 0), (0, 0), (0, 0)])
    assert isinstance(compose(CONVOLUTION, pad), Product)


def test_composing_recognises_patches() -> None:
    convolution = Convolution(random(5, 4, 3, 3), (4, 6, 6), stride=3)
    assert isinstance(compose(convolution), PatchConvolution)
    assert isinstance(compose(convolution, SCALE), PatchConvolution)


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
        Pad((9, 4), [(1, 0), (0, 0)]),
        Permute((4, 9), (1, 0)),
        Reshape((4, 3, 3), (4, 9)),
        CONVOLUTION,
    ),
    "stack of one twice scaled": Stack((A, Product(Diagonal(random(2, 2), (2, 2)), A))),
    "nested stacks": Stack((Stack((A, B)), Product(Reshape((3,), (1, 3)), B))),
    "stack behind a matrix": Product(Stack((A, Diagonal(random(2, 3), (2, 3)))), C),
    "repetition": Repeated(Product(Reshape((2, 2), (4,)), A), (2,)),
    "selection": Product(Select((2, 2), [slice(0, 1), slice(0, 2)]), A),
    "alone": A,
    "injective": Reshape((2, 3), (6,)),
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
    assert same_kernel(Stack((A, Reshape((2, 3), (6,))))).is_injective


# ---- Traced ----


def test_a_traced_function_is_its_linear_part() -> None:
    matrix = random(5, 6)
    operator = Traced(lambda x: (matrix @ x.reshape(-1)).reshape(5, 1) + 3.0, (2, 3))
    check_operator(operator, matrix.numpy())


def test_a_traced_rearrangement_equals_the_gather() -> None:
    operator = Traced(lambda x: x.roll(2, 0).flip(1), (4, 3))
    index = torch.arange(12).reshape(4, 3).roll(2, 0).flip(1)
    check_operator(operator, dense(Gather((4, 3), index)))
