"""The first affine segment of small networks: as large as it should be, and harmless."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fingerprint.network.model import Model
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.operators import (
    Convolution,
    Dense,
    Pooling,
    Product,
    Repeated,
    Sum,
    first_affine_segment,
    same_kernel,
)

SHAPE = (2, 6, 6)


def number(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape) + len(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    """A function of a batch of shape (N, 2, 6, 6).

    Attributes:
        f: The network.
        rank: Rank of its first affine segment, counted by hand; 72 means no harmless space.
        ended_by: What ends the segment.
        outputs: Number of values in the frontier.
    """

    f: Callable[[Tensor], Any]
    rank: int
    ended_by: str
    outputs: int = 1


A, B = number(3, 2, 3, 3), number(2, 2, 3, 3)
WIDE, NARROW = number(9, 2, 3, 3), number(1, 2, 3, 3)
PATCH = number(5, 2, 3, 3)
MATRIX = number(4, 72)
INDEX = torch.tensor([0, 1, 2, 0, 1, 2]).expand(1, 1, 6, 6)
ZERO, ONES = torch.tensor([0, 0]), torch.ones(2, dtype=torch.float64)
MASK = torch.arange(36).reshape(6, 6) % 2 == 0


# Made here and not inside the networks: random numbers drawn there count as noise.
N1x1x2x2 = number(1, 1, 2, 2)
N1x1x5 = number(1, 1, 5)
N1x2x3x3 = number(1, 2, 3, 3)
N1x2x6x4 = number(1, 2, 6, 4)
N1x5x5 = number(1, 5, 5)
N2x3x2x2 = number(2, 3, 2, 2)
N2x6 = number(2, 6)
N3x6 = number(3, 6)
N5 = number(5)
N5x18 = number(5, 18)


def convolved(x: Tensor, weight: Tensor = NARROW, **options: Any) -> Tensor:
    return functional.conv2d(x, weight, bias=torch.ones(len(weight)).double(), **options)


def written_in_place(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, :1, 1:4] = 3 * x[:, 1:, 2:5]
    y += 1.0
    return y.relu_()


def normalised_in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y.sub_(0.4).div_(torch.tensor([0.5, 2.0]).double().reshape(1, 2, 1, 1))
    return convolved(y).relu()


def residual_of_affine(x: Tensor) -> Tensor:
    hidden = convolved(x)
    return hidden.relu() + convolved(hidden, N1x1x2x2, padding=1)[:, :, :4, :4]


def rearranged_patches(x: Tensor) -> Tensor:
    tokens = x.reshape(-1, 2, 2, 3, 2, 3).permute(0, 2, 4, 1, 3, 5).reshape(-1, 4, 18)
    return functional.linear(tokens, N5x18, N5).softmax(-1)


def classes_in_front(x: Tensor) -> Tensor:
    tokens = convolved(x, PATCH, stride=3).flatten(2).transpose(1, 2)
    tokens = torch.cat([N1x1x5.expand(len(x), -1, -1), tokens], dim=1) + N1x5x5
    return functional.layer_norm(tokens, (5,)) + tokens


def unused_exponential(x: Tensor) -> Tensor:
    x.exp()
    return convolved(x).relu()


CASES: dict[str, Case] = {
    # ---- one layer ----
    "convolution": Case(lambda x: convolved(x).relu(), 16, "relu"),
    "padded convolution wider than its input": Case(
        lambda x: convolved(x, WIDE, padding=1).relu(), 72, "relu"
    ),
    "patches": Case(lambda x: convolved(x, PATCH, stride=3).sigmoid(), 20, "sigmoid"),
    "dense": Case(lambda x: (x.flatten(1) @ MATRIX.T + 1).tanh(), 4, "tanh"),
    "linear": Case(lambda x: functional.linear(x.flatten(1), MATRIX).exp(), 4, "exp"),
    "matrix from the left": Case(lambda x: (N3x6 @ x).relu(), 36, "relu"),
    "one matrix per channel": Case(
        lambda x: torch.matmul(x, N1x2x6x4.expand(1, 2, 6, 4)).relu(), 48, "relu"
    ),
    "tokens": Case(lambda x: functional.linear(x, N2x6).relu(), 24, "relu"),
    "transposed convolution": Case(
        lambda x: functional.conv_transpose2d(x, N2x3x2x2).relu(), 72, "relu"
    ),
    # ---- pooling and resizing ----
    "average pooling": Case(lambda x: functional.avg_pool2d(x, 2).relu(), 18, "relu"),
    "adaptive pooling": Case(lambda x: functional.adaptive_avg_pool2d(x, 3).relu(), 18, "relu"),
    "global mean": Case(lambda x: x.mean((2, 3)).exp(), 2, "exp"),
    "mean of everything": Case(lambda x: x.flatten(1).mean(1).exp(), 1, "exp"),
    "sum over channels": Case(lambda x: x.sum(1, keepdim=True).exp(), 36, "exp"),
    "resized": Case(
        lambda x: functional.interpolate(x, size=(3, 3), mode="bilinear").relu(), 18, "relu"
    ),
    "resized by cubic curves": Case(
        lambda x: functional.interpolate(x, size=(4, 3), mode="bicubic").relu(), 24, "relu"
    ),
    "resized to the nearest": Case(
        lambda x: functional.interpolate(x, scale_factor=0.5).relu(), 18, "relu"
    ),
    "running sums": Case(lambda x: x.cumsum(-1).relu(), 72, "relu"),
    # ---- entries moved ----
    "reflected": Case(
        lambda x: convolved(functional.pad(x, (1, 1, 1, 1), mode="reflect")).relu(), 36, "relu"
    ),
    "rolled and flipped": Case(lambda x: x.roll(2, -1).flip(1)[:, :1].relu(), 36, "relu"),
    "masked": Case(lambda x: x.masked_fill(MASK, 3.0).relu(), 36, "relu"),
    "chosen": Case(lambda x: torch.where(MASK, x, -1.0).relu(), 36, "relu"),
    "indexed": Case(lambda x: x[:, :, [0, 0, 5]].relu(), 24, "relu"),
    "split": Case(lambda x: x.chunk(2, dim=1)[1].relu(), 36, "relu"),
    "repeated": Case(lambda x: x[:, :1].expand(-1, 4, -1, -1).relu(), 36, "relu"),
    "scattered": Case(
        lambda x: torch.zeros_like(x).scatter(3, INDEX.expand_as(x), x).relu(), 36, "relu"
    ),
    "scattered with a product": Case(
        lambda x: x[:, :1].scatter(3, INDEX[:, :, :, :2], 2.0, reduce="multiply").relu(),
        36,
        "scatter",  # affine, but in a form no rule knows: found out, and safely left out
    ),
    "accumulated": Case(
        lambda x: x[:, 0].index_put((ZERO, ZERO, ZERO), ONES, accumulate=True).relu(), 36, "relu"
    ),
    "written in place": Case(written_in_place, 18, "relu"),
    "normalised in place": Case(normalised_in_place, 16, "relu"),
    "rearranged patches": Case(rearranged_patches, 20, "_softmax"),
    "class token in front": Case(classes_in_front, 20, "native_layer_norm, add"),
    # ---- several ways from the input ----
    "two layers read the input": Case(
        lambda x: convolved(x).relu() + convolved(x, N1x2x3x3 - 0.5).tanh(),
        32,
        "relu, tanh",
        2,
    ),
    "two layers read the input, concatenated": Case(
        lambda x: torch.cat([convolved(x), convolved(x, N1x2x3x3 - 0.5)], 1).relu(),
        32,
        "relu",
    ),
    "sum of two layers": Case(
        lambda x: (convolved(x) - 2 * convolved(x, N1x2x3x3 - 0.5)).relu(), 16, "relu"
    ),
    "one layer read twice": Case(
        lambda x: (h := convolved(x)).relu() + (3 * h).sigmoid(), 16, "relu, sigmoid"
    ),
    "skip around a nonlinearity": Case(residual_of_affine, 16, "relu"),
    "gate": Case(
        lambda x: x.mean((2, 3), keepdim=True).sigmoid() * convolved(x), 18, "sigmoid, mul", 2
    ),
    "input read by a nonlinearity": Case(lambda x: convolved(x.relu()), 72, "relu"),
    "input skips everything": Case(lambda x: x + convolved(x, B, padding=1).relu(), 72, "add"),
    "product with itself": Case(lambda x: x * x, 72, "mul"),
    "attention of the input with itself": Case(
        lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2), 72, "bmm"
    ),
    "divided by the input": Case(lambda x: 1 / (x + 9), 72, "reciprocal"),
    "rounded": Case(lambda x: convolved((x * 255).round()), 72, "round"),
    "kept as integers": Case(lambda x: convolved(x.to(torch.int32).double()), 72, "_to_copy"),
    "bits read as integers": Case(lambda x: x.view(torch.int64).sum((1, 2, 3)), 72, "view"),
    "noise added": Case(
        lambda x: convolved(x + torch.rand_like(x) * 1e-9).relu(), 72, "rand_like, add"
    ),
    "never nonlinear": Case(lambda x: convolved(x).flatten(1), 16, "output"),
    "several answers": Case(
        lambda x: {"a": convolved(x), "b": convolved(x).relu()}, 16, "output, relu", 2
    ),
    "unused nonlinearity": Case(unused_exponential, 16, "relu"),
}


def null_basis(operator: Any) -> Any:
    """Returns an orthonormal basis of the kernel by NumPy, shape (n, nullity)."""
    matrix = operator.to_dense().numpy()
    _, values, rows = np.linalg.svd(matrix)
    rank = int((values > 1e-10 * values.max()).sum())
    return rows[rank:].T


def answers(f: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    with torch.no_grad():
        result = f(x)
    values = list(result.values()) if isinstance(result, dict) else [result]
    return torch.cat([value.double().reshape(len(x), -1) for value in values], dim=1)


@pytest.mark.parametrize("name", CASES)
def test_the_segment_is_as_large_as_counted_by_hand(name: str) -> None:
    case = CASES[name]
    segment = first_affine_segment(case.f, SHAPE)
    assert segment.operator is not None, segment.reason
    assert 72 - null_basis(segment.operator).shape[1] == case.rank
    assert segment.ended_by == case.ended_by
    assert segment.outputs == case.outputs


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].rank < 72])
def test_what_the_segment_does_not_see_changes_no_answer(name: str) -> None:
    case = CASES[name]
    segment = first_affine_segment(case.f, SHAPE)
    assert segment.operator is not None
    basis = null_basis(segment.operator)
    x = number(5, *SHAPE)
    delta = (number(5, basis.shape[1]).numpy() * 10) @ basis.T
    moved = x + torch.from_numpy(delta).reshape(5, *SHAPE)
    torch.testing.assert_close(answers(case.f, moved), answers(case.f, x), rtol=1e-9, atol=1e-9)
    harmful = x + 0.1 * torch.from_numpy(
        segment.operator.rmatvec(
            torch.ones(segment.operator.out_shape, dtype=torch.float64)
        ).numpy()
    )
    assert float((answers(case.f, harmful) - answers(case.f, x)).norm()) > 1e-4


@pytest.mark.parametrize("name", CASES)
def test_identity_is_said_where_the_input_itself_is_read(name: str) -> None:
    segment = first_affine_segment(CASES[name].f, SHAPE)
    trivial_by_numbers = ("padded convolution wider", "transposed convolution", "running sums")
    assert segment.identity == (CASES[name].rank == 72 and not name.startswith(trivial_by_numbers))


def test_common_kinds_of_segment_keep_their_structure() -> None:
    def kind(name: str) -> type:
        operator = first_affine_segment(CASES[name].f, SHAPE).operator
        assert operator is not None
        return type(same_kernel(operator))

    assert kind("patches") is Convolution
    assert kind("class token in front") is Convolution
    assert kind("convolution") is Convolution
    assert kind("normalised in place") is Convolution
    assert kind("dense") is Dense
    assert kind("linear") is Dense
    assert kind("tokens") is Repeated
    assert kind("rearranged patches") is Product
    assert kind("two layers read the input, concatenated") is Sum
    assert kind("sum of two layers") is Convolution
    assert kind("resized") is Pooling
    assert kind("resized by cubic curves") is Pooling


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 1, 3)
        self.norm = nn.BatchNorm2d(1)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.relu(self.norm(self.stem(x)), inplace=True).flatten(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_layers_are_named_and_numbers_are_in_double_precision(dtype: torch.dtype) -> None:
    segment = first_affine_segment(Network().to(dtype).eval(), SHAPE)
    assert segment.layers == ("stem", "norm")
    assert segment.operator is not None
    assert segment.operator.dtype == torch.float64


def test_the_normalisation_of_a_model_is_part_of_its_segment() -> None:
    network = Network().double().eval()
    spec = InputSpec(shape=SHAPE, mean=(0.4, 0.5), std=(0.1, 3.0))
    output = OutputSpec(classes=3)
    model = Model(module=network, input=spec, output=output, architecture="live", digest="")
    segment = first_affine_segment(model, SHAPE)
    assert segment.operator is not None
    x = number(1, *SHAPE)

    def before_relu(value: Tensor) -> Tensor:
        return network.norm(network.stem(spec.normalise(value)))[0]

    expected = before_relu(x) - before_relu(torch.zeros_like(x))
    torch.testing.assert_close(segment.operator.matvec(x)[0], expected)


def test_batch_norm_in_training_mode_ends_the_segment() -> None:
    segment = first_affine_segment(Network().double().train(), SHAPE)
    assert segment.layers == ("stem",)


def branching(x: Tensor) -> Tensor:
    return x.relu() if x.sum() > 0 else x


def leaving_torch(x: Tensor) -> Tensor:
    return torch.from_numpy(np.tanh(x.detach().numpy()))


def broken(x: Tensor) -> Tensor:
    raise RuntimeError("first line\nsecond line")


@pytest.mark.parametrize("f", [branching, leaving_torch, broken])
def test_a_network_that_cannot_be_traced_is_a_value_with_a_reason(
    f: Callable[[Tensor], Tensor],
) -> None:
    segment = first_affine_segment(f, SHAPE)
    assert not segment.found
    assert segment.reason.startswith("the network cannot be traced: ")
    assert "\n" not in segment.reason


def test_an_answer_that_ignores_the_input_has_no_segment() -> None:
    segment = first_affine_segment(lambda x: torch.zeros(len(x), 3), SHAPE)
    assert not segment.found
    assert "does not depend" in segment.reason


def test_sums_that_double_cost_no_more_than_the_network() -> None:
    def doubling(x: Tensor) -> Tensor:
        for _ in range(40):
            x = x + functional.avg_pool2d(x, 3, 1, 1)
        return x.relu()

    segment = first_affine_segment(doubling, SHAPE)
    assert segment.operator is not None
    assert segment.ended_by == "relu"
    x = number(2, *SHAPE)
    torch.testing.assert_close(segment.operator.matvec(x).relu(), doubling(x))


def test_what_memory_held_before_a_network_wrote_to_it_is_nothing() -> None:
    def into_new_memory(x: Tensor) -> Tensor:
        y = x.new_empty(x.shape)
        y[:, :, :3] = x[:, :, 3:]
        y[:, :, 3:] = x[:, :, 3:]
        return y.relu()

    filled = torch.utils.deterministic.fill_uninitialized_memory
    before = torch.are_deterministic_algorithms_enabled()
    try:
        # Fills new memory with NaN.
        torch.utils.deterministic.fill_uninitialized_memory = True
        torch.use_deterministic_algorithms(True, warn_only=True)
        segment = first_affine_segment(into_new_memory, SHAPE)
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled
    assert segment.operator is not None
    assert segment.ended_by == "relu"
    assert null_basis(segment.operator).shape[1] == 36


def test_what_a_network_detaches_is_read_all_the_same() -> None:
    segment = first_affine_segment(lambda x: convolved(x.detach()).relu(), SHAPE)
    assert segment.operator is not None
    assert segment.ended_by == "relu"
    assert null_basis(segment.operator).shape[1] == 72 - 16


def test_nothing_of_the_network_is_changed() -> None:
    network = Network().eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first_affine_segment(network, SHAPE)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not network.training
