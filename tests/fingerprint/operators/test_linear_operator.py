"""Layers of torch as operators, judged by the layer itself on basis vectors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fingerprint.errors import UsageError
from fingerprint.operators import Convolution, first_affine_segment, linear_operator
from tests.support.operator_contract import check_operator, matrix_of


def trained(layer: nn.Module) -> nn.Module:
    """Gives every weight and statistic a value of its own."""
    torch.manual_seed(5)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    for name, buffer in layer.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5 * ("var" in name))
    return layer.double().eval()


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(6, 4), (6,)),
    "linear on tokens": (nn.Linear(6, 4, bias=False), (3, 6)),
    "conv1d": (nn.Conv1d(2, 4, 3, stride=2, padding=1), (2, 9)),
    "conv2d": (nn.Conv2d(4, 4, (3, 2), stride=(1, 2), groups=2, dilation=(2, 1)), (4, 6, 5)),
    "conv2d same": (nn.Conv2d(1, 2, (2, 3), padding="same"), (1, 4, 5)),
    "conv2d valid": (nn.Conv2d(1, 2, 3, padding="valid"), (1, 4, 5)),
    "conv2d circular": (nn.Conv2d(2, 2, 3, padding=(1, 2), padding_mode="circular"), (2, 4, 5)),
    "conv2d reflect same": (
        nn.Conv2d(1, 2, (2, 3), padding="same", padding_mode="reflect"),
        (1, 4, 5),
    ),
    "conv1d replicate": (nn.Conv1d(2, 2, 3, padding=2, padding_mode="replicate"), (2, 4)),
    "conv3d": (nn.Conv3d(1, 2, 2, stride=2, padding=(1, 0, 1)), (1, 3, 4, 3)),
    "batch norm": (nn.BatchNorm2d(3), (3, 2, 2)),
    "batch norm of features": (nn.BatchNorm1d(4, affine=False), (4,)),
    "average": (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 6, 5)),
    "average with divisor": (nn.AvgPool3d(2, divisor_override=3), (1, 4, 4, 4)),
    "average 1d": (nn.AvgPool1d(2), (2, 7)),
    "adaptive": (nn.AdaptiveAvgPool2d((3, None)), (2, 5, 4)),
    "adaptive to one": (nn.AdaptiveAvgPool1d(1), (2, 5)),
    "flatten": (nn.Flatten(), (2, 3, 2)),
    "flatten the end": (nn.Flatten(2), (2, 3, 2)),
    "unflatten": (nn.Unflatten(1, (2, 3)), (6,)),
    "zero pad": (nn.ZeroPad2d((1, 2, 0, 3)), (2, 2, 3)),
    "constant pad": (nn.ConstantPad1d((2, 1), 7.0), (2, 3)),
    "identity": (nn.Identity(), (4,)),
    "dropout": (nn.Dropout(0.9), (5,)),
    "sequence": (
        nn.Sequential(
            nn.ZeroPad2d(1),
            nn.Conv2d(2, 3, 3, stride=2),
            nn.BatchNorm2d(3),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Sequential(nn.Dropout(), nn.Linear(12, 5)),
        ),
        (2, 8, 8),
    ),
    "empty sequence": (nn.Sequential(), (3,)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_linear_part(name: str) -> None:
    layer, shape = LAYERS[name]
    layer = trained(layer)
    check_operator(linear_operator(layer, shape), matrix_of(layer, shape))


def test_a_patch_embedding_is_recognised() -> None:
    operator = linear_operator(nn.Conv2d(3, 4, 2, stride=2), (3, 8, 8))
    assert isinstance(operator, Convolution)
    assert operator.is_patchwise


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (nn.ReLU(), (3,), "got ReLU: relu is not affine"),
        (nn.MaxPool2d(2), (1, 4, 4), "got MaxPool2d"),
        (nn.Sequential(nn.Linear(3, 3), nn.Tanh()), (3,), "got Sequential: tanh is not affine"),
        (nn.BatchNorm2d(3), (3, 2, 2), "evaluation mode .* got BatchNorm2d"),
        (nn.BatchNorm2d(3, track_running_stats=False).eval(), (3, 2, 2), "got BatchNorm2d"),
        (nn.Dropout(), (3,), "evaluation mode .* got Dropout"),
        (nn.Linear(3, 2), (4,), r"inputs of shape \(4,\), got Linear"),
        (nn.Conv2d(3, 2, 3), (3, 2, 2), "got Conv2d"),
        (nn.Conv2d(1, 2, 9, padding=8, padding_mode="reflect"), (1, 4, 4), "got Conv2d"),
        (nn.Unflatten(1, (2, 2)), (6,), "got Unflatten"),
    ],
)
def test_layers_that_are_not_affine_or_do_not_fit_are_refused(
    layer: nn.Module, shape: Any, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        linear_operator(layer, shape)
    assert "\n" not in str(caught.value)


def test_padding_that_torch_writes_in_place_is_read() -> None:
    layer = trained(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"))
    straight = trained(nn.Conv2d(2, 2, 1))
    segment = first_affine_segment(lambda x: layer(x).relu() + straight(x).tanh(), (2, 4, 5))
    # Left out, it would have been harmless to it what only the other layer does not see.
    assert segment.outputs == 2
    assert segment.ended_by == "relu, tanh"
