"""What a forward pass is seen to compute, however it is written."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fingerprint.inspection.calls import LayerCall, named, record
from tests.fingerprint.inspection.judge import model_of

LOOSE = (-1.0, 1.0)


def _calls(module: nn.Module, *size: int, x: Tensor | None = None) -> list[LayerCall]:
    model = model_of(module, *size, bounds=LOOSE)
    given = torch.linspace(-1, 1, model.input.size, dtype=torch.float64).reshape(1, *size)
    copied = lambda name, z, args, kwargs: z.clone()  # noqa: E731
    return list(record(model, given if x is None else x, copied).calls)


class _Written(nn.Module):
    """A network of one line."""

    def __init__(self, line: Any) -> None:
        super().__init__()
        self.line = line

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "line",
    [
        functional.relu,
        torch.relu,
        lambda x: x.relu(),
        lambda x: x.clone().relu_(),
        lambda x: functional.relu(x.clone(), inplace=True),
        nn.ReLU(),
    ],
)
def test_a_relu_is_seen_however_it_is_called(line: Any) -> None:
    calls = _calls(_Written(line), 4)
    assert [call.function for call in calls] == ["relu"]


def test_an_in_place_relu_is_measured_before_it_overwrites_its_input() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(inplace=True))
    module[0].weight.data = -torch.eye(4)
    calls = _calls(module, 4)
    torch.testing.assert_close(calls[1].measured[0], -torch.linspace(-1, 1, 4, dtype=torch.float64))


def test_a_module_that_is_used_twice_is_two_layers() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(functional.relu(self.shared(x)))  # type: ignore[no-any-return]

    assert [call.name for call in _calls(Twice(), 4)] == ["shared", "relu", "shared_1"]


def test_a_branch_on_the_data_is_the_one_that_was_taken() -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x) if x.sum() > 1 else torch.sigmoid(x)

    assert [c.function for c in _calls(Branches(), 4)] == ["sigmoid"]
    bright = torch.ones(1, 4, dtype=torch.float64)
    assert [c.function for c in _calls(Branches(), 4, x=bright)] == ["tanh"]


def test_a_model_with_several_outputs_is_seen_whole() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 3)
            self.extra = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.head(x), "extra": self.extra(x)}

    assert [call.name for call in _calls(Two(), 4)] == ["head", "extra"]


def test_layers_on_weights_alone_are_not_layers_of_the_network() -> None:
    class Standardised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))

        def forward(self, x: Tensor) -> Tensor:
            weight = functional.layer_norm(torch.relu(self.weight), (4,))
            return functional.linear(x, weight)

    assert [call.function for call in _calls(Standardised(), 4)] == ["linear"]


def test_the_layers_inside_torchs_own_attention_are_seen() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x, need_weights=False)[0].flatten(1)  # type: ignore[no-any-return]

    functions = [call.function for call in _calls(Attends(), 5, 8)]
    assert functions == ["linear", "scaled_dot_product_attention", "linear"]


def test_a_product_of_two_features_is_not_a_linear_layer() -> None:
    calls = _calls(_Written(lambda x: (x @ x.transpose(1, 2)).flatten(1)), 3, 4)
    assert [call.kind.label for call in calls] == ["product of features"]
    assert calls[0].apply is None


@pytest.mark.parametrize(
    "line",
    [
        lambda x: torch.bmm(x, x).flatten(1),
        lambda x: torch.einsum("bij,bij->bi", x, x),
    ],
)
def test_the_product_of_a_feature_with_itself_is_not_a_linear_layer(line: Any) -> None:
    (call,) = _calls(_Written(line), 3, 3)
    assert (call.kind.label, call.kind.affine) == ("product of features", False)


def test_a_product_with_a_constant_is_a_linear_layer() -> None:
    weight = torch.randn(4, 2)
    (call,) = _calls(_Written(lambda x: x @ weight.to(x.dtype)), 4)
    assert (call.kind.label, call.kind.affine) == ("linear", True)


def test_what_is_written_into_a_fresh_tensor_is_still_followed() -> None:
    def line(x: Tensor) -> Tensor:
        buffer = torch.zeros_like(x)
        buffer[:, :2] = x[:, :2]
        return functional.relu(buffer)

    assert [call.function for call in _calls(_Written(line), 4)] == ["relu"]


def test_batch_norm_on_own_statistics_is_not_affine() -> None:
    def line(x: Tensor) -> Tensor:
        rows = x.reshape(1, -1, 4)  # a channel for each sample's, so samples stay apart
        return functional.batch_norm(rows, None, None, training=True).reshape(-1, 8)

    (call,) = _calls(_Written(line), 2, 4)
    assert (call.kind.label, call.kind.affine) == ("batch norm", False)


def test_names_are_all_different_even_beside_names_that_look_numbered() -> None:
    calls = [("a", True, "relu"), ("a", True, "relu"), ("a_1", True, "relu"), ("", False, "mean")]
    assert named(calls) == ["a", "a_2", "a_1", "mean"]


def test_a_module_that_makes_several_kinds_of_call_is_told_by_function() -> None:
    calls = [("mix", True, "linear"), ("mix", True, "relu"), ("mix", True, "linear")]
    assert named(calls) == ["mix.linear", "mix.relu", "mix.linear_1"]
