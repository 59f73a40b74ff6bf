from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional

from fingerprint.errors import NoInformation, UsageError
from fingerprint.operators import (
    Convolution,
    Dense,
    Diagonal,
    Entries,
    Product,
    Repeated,
    stacked,
)
from fingerprint.spaces import null_space
from tests.fingerprint.spaces.judge import assert_is_null_space, random

GEOMETRIES = [
    (stride, padding, dilation, groups)
    for stride, padding, dilation, groups in itertools.product((1, 2, 3, 4), (0, 1), (1, 2), (1, 2))
]


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), GEOMETRIES)
@pytest.mark.parametrize("channels", [2, 4, 10])
def test_null_space_of_a_convolution_is_scipys(
    channels: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    for kernel in (1, 2, 3):
        operator = Convolution(
            random(channels, 2 // groups, kernel, kernel),
            (2, 7, 6),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        assert_is_null_space(null_space(operator), operator)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 8), (8, 8), (20, 8), (1, 40)])
@pytest.mark.parametrize("rank", [None, 1])
def test_null_space_of_a_matrix_is_scipys(m: int, n: int, rank: int | None) -> None:
    matrix = random(m, n) if rank is None else random(m, rank) @ random(rank, n)
    operator = Dense(matrix, in_shape=(n,))
    assert_is_null_space(null_space(operator), operator)


def test_rank_deficient_kernels_enlarge_the_null_space() -> None:
    weight = random(6, 3, 4, 4)
    weight[4] = 2.0 * weight[0] - weight[1]
    weight[5] = 0.0
    operator = Convolution(weight, (3, 8, 8), stride=4)
    space = null_space(operator)
    # The paper's Corollary 1 asks for independent kernels; without it n - m is too small.
    assert space.dimension == 3 * 64 - 4 * 4
    assert_is_null_space(space, operator)


def test_a_stride_larger_than_the_kernel_leaves_free_pixels_though_m_exceeds_n() -> None:
    operator = Convolution(random(16, 1, 2, 2), (1, 8, 8), stride=3)
    assert operator.m > operator.n
    space = null_space(operator)
    # Corollary 1 would say {0}; the pixels between the windows are harmless all the same.
    assert space.dimension == 64 - 9 * 4
    assert_is_null_space(space, operator)


def test_padding_can_leave_less_rank_than_outputs() -> None:
    operator = Convolution(random(3, 1, 2, 2), (1, 4, 4), stride=2, padding=1)
    space = null_space(operator)
    # Windows in the corners see one pixel each, so their three outputs have rank one: Corollary 1
    # would say n - m < 0, hence {0}, and with fewer channels a number that is too small.
    assert_is_null_space(space, operator)
    two = Convolution(random(2, 1, 3, 3), (1, 6, 6), stride=3, padding=2)
    assert_is_null_space(null_space(two), two)
    assert null_space(two).dimension > two.n - two.m


def test_a_zero_operator_leaves_everything_harmless() -> None:
    space = null_space(Convolution(torch.zeros(4, 3, 3, 3, dtype=torch.float64), (3, 8, 8)))
    noise = random(3, 8, 8)
    assert space.dimension == 192
    assert torch.equal(space.project(noise), noise)


def test_a_channel_of_zero_weights_is_free() -> None:
    weight = random(30, 3, 3, 3)
    weight[:, 1] = 0.0
    operator = Convolution(weight, (3, 6, 6), padding=1)
    space = null_space(operator)
    assert space.dimension == 36
    assert_is_null_space(space, operator)


def test_tiny_singular_values_above_the_cutoff_count_as_rank() -> None:
    left, right = torch.linalg.qr(random(60, 60)).Q, torch.linalg.qr(random(40, 40, seed=1)).Q
    spectrum = torch.ones(40, dtype=torch.float64)
    spectrum[30:35] = torch.tensor([1e-6, 1e-8, 1e-9, 1e-10, 1e-11], dtype=torch.float64)
    spectrum[35:] = 0.0
    space = null_space(Dense((left[:, :40] * spectrum) @ right.T))
    assert space.dimension == 5


CHAINS = {
    "left scale": lambda conv: Product(Diagonal(random(4, 1, 1).exp(), conv.out_shape), conv),
    "dead outputs": lambda conv: Product(
        Diagonal(torch.tensor([1.0, 0.0, 2.0, 0.0]).double().reshape(4, 1, 1), conv.out_shape), conv
    ),
    "some outputs": lambda conv: Product(
        Entries.read(lambda x: x[:, :3, :, 1:], conv.out_shape), conv
    ),
    "right scale": lambda conv: Product(conv, Diagonal(random(2, 1, 1).exp(), conv.in_shape)),
    "right scale by pixel": lambda conv: Product(conv, Diagonal(random(2, 8, 8), conv.in_shape)),
    "dead input": lambda conv: Product(
        conv, Diagonal(torch.tensor([0.0, 1.0]).double().reshape(2, 1, 1), conv.in_shape)
    ),
    "reshape and permute": lambda conv: Product(
        Entries.read(lambda x: x.permute(0, 2, 3, 1), conv.out_shape),
        conv,
        Entries.read(lambda x: x.reshape(-1, 8, 8, 2).permute(0, 3, 1, 2), (128,)),
    ),
    "pad": lambda conv: Product(
        conv, Entries.read(lambda x: functional.pad(x, (1, 0, 1, 1)), (2, 6, 7))
    ),
    "crop": lambda conv: Product(conv, Entries.read(lambda x: x[..., 1:9, 2:10], (2, 10, 11))),
    "mirror": lambda conv: Product(conv, Entries.read(lambda x: x.flip(3), conv.in_shape)),
    "linear map behind": lambda conv: Product(Dense(random(20, 64), (4, 4, 4), (20,)), conv),
    "tokens": lambda conv: Product(
        Repeated(Dense(random(3, 8)), (16,)), Entries.identity((2, 64), (16, 8))
    ),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("stride", [2, 1])
def test_null_space_of_a_chain_is_scipys(name: str, stride: int) -> None:
    if stride == 2:
        conv = Convolution(random(4, 2, 2, 2), (2, 8, 8), stride=2)
    else:
        conv = Convolution(random(4, 2, 5, 5), (2, 8, 8), stride=1)
    assert conv.out_shape == (4, 4, 4)
    operator = CHAINS[name](conv)
    assert_is_null_space(null_space(operator), operator)


def test_null_space_of_a_stack_is_the_intersection() -> None:
    stack = stacked(
        [
            Convolution(random(1, 2, 2, 2), (2, 8, 8), stride=2),
            Convolution(random(1, 2, 2, 2, seed=1), (2, 8, 8), stride=2),
        ]
    )
    assert_is_null_space(null_space(stack), stack)


def test_patches_that_nest_stay_block_diagonal() -> None:
    stack = stacked(
        [
            Convolution(random(2, 3, 4, 4), (3, 16, 16), stride=4),
            Convolution(random(20, 3, 8, 8, seed=1), (3, 16, 16), stride=8),
        ]
    )
    space = null_space(stack)
    assert type(space).__name__ == "PatchSubspace"
    assert_is_null_space(space, stack)


def test_an_injective_layer_has_no_null_space() -> None:
    assert null_space(Diagonal(random(3, 1, 1).exp(), (3, 4, 4))).dimension == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_weights_are_refused(value: float) -> None:
    weight = random(4, 3, 3, 3)
    weight[2, 1, 0, 0] = value
    with pytest.raises(NoInformation, match="finite"):
        null_space(Convolution(weight, (3, 8, 8)))


def test_float32_weights_are_decomposed_in_64_bits() -> None:
    operator = Convolution(random(4, 3, 4, 4).float(), (3, 8, 8), stride=4)
    space = null_space(operator)
    noise = random(3, 8, 8)
    doubled = Convolution(operator.weight.double(), (3, 8, 8), stride=4)
    assert space.dimension == 3 * 64 - 16
    assert float(doubled.matvec(space.project(noise)).norm()) < 1e-12


def test_batches_and_strided_inputs_project_like_single_ones() -> None:
    space = null_space(Convolution(random(4, 3, 4, 4), (3, 8, 8), stride=4))
    batch = random(2, 8, 8, 5, 3).permute(0, 3, 4, 1, 2)
    assert not batch.is_contiguous()
    projected = space.project(batch)
    assert projected.shape == batch.shape
    single = space.project(batch[1, 3].contiguous())
    torch.testing.assert_close(projected[1, 3], single)
    assert space.contains(projected).all()
    assert not space.contains(batch).any()


@pytest.mark.parametrize("bad", [random(3, 8, 7), random(8), torch.full((3, 8, 8), torch.nan)])
def test_vectors_that_do_not_fit_are_refused(bad: torch.Tensor) -> None:
    space = null_space(Convolution(random(4, 3, 4, 4), (3, 8, 8), stride=4))
    with pytest.raises(UsageError, match="expected"):
        space.project(bad)
