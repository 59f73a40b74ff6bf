"""What is done to hide where weights come from leaves the answers as they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from benchmarks.weights import Row, attacks, factored, merged_channels, rotated, split_channels
from fingerprint.lab.architectures import build
from fingerprint.network.loading import load_model
from fingerprint.weights.comparison import compare


def _network(architecture: str) -> nn.Module:
    torch.manual_seed(0)
    network = build(architecture)
    for parameter in network.parameters():
        if parameter.ndim == 1:  # factors and shifts that a fresh network leaves at one and zero
            parameter.data += 0.3 * torch.randn(parameter.shape)
    return network


@pytest.mark.parametrize(
    ("architecture", "attack"), [("plain cnn", split_channels), ("vit", rotated)]
)
def test_answers_stay_and_weights_are_found(
    architecture: str, attack: Callable[[nn.Module], nn.Module]
) -> None:
    network = _network(architecture)
    changed = attack(network)
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network(x), changed(x), atol=1e-4)
    ours, theirs = (load_model(net, input_size=(3, 32, 32)) for net in (network, changed))
    found = compare(ours, theirs)
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.rotated == (attack is rotated)
    row = Row(title="", found=found, seconds=0.0)
    assert row.shared
    assert row.layers > 0.5


def test_a_network_in_factors_answers_the_same() -> None:
    network = _network("resnet8")
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network(x), factored(network)(x), atol=1e-4)


def test_merged_channels_are_fewer() -> None:
    changed = merged_channels(_network("plain cnn"), share=0.25)
    assert changed.get_parameter("network.convolutions.1.weight").shape[:2] == (24, 24)
    with torch.no_grad():
        assert changed(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_each_architecture_suffers_what_is_written_down_for_it() -> None:
    titles = {name: [title for title, _ in attacks(_network(name))] for name in ("vit", "mixer")}
    assert "residual stream rotated" in titles["vit"]
    assert "units permuted and rescaled" not in titles["mixer"]
    assert "fp16 weights" in titles["mixer"]
