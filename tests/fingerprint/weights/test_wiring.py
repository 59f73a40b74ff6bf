"""Which layer's units feed which layer's channels, seen in one pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fingerprint.network.loading import load_model
from fingerprint.weights import wiring
from fingerprint.weights.wiring import Layer, layers_of


def _layers(module: nn.Module, *size: int) -> dict[str, Layer]:
    bounds = None if len(size) == 3 else (-1.0, 1.0)
    model = load_model(module.eval(), input_size=size or (3, 8, 8), bounds=bounds)
    return {layer.name: layer for layer in layers_of(model)}


def test_a_layer_reads_the_units_that_the_one_before_it_writes() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(180, 4)
    )
    found = _layers(net, 3, 8, 8)
    first, last = found["0"], found["4"]
    assert first.reads is None
    assert last.reads is not None
    assert (last.reads.space, last.reads.outer, last.reads.inner) == (first.writes, 1, 36)
    assert not last.reads.linear


def test_the_sign_of_a_normalisation_is_folded_into_the_layer_before_it() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 2, 8, bias=False), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3)
    )
    net[1].weight.data = torch.tensor([1.5, -0.5])
    weight = net[0].weight.detach().reshape(2, 3, 64)
    found = _layers(net, 3, 8, 8)["0"].weight
    assert torch.equal(found, weight * torch.tensor([1.0, -1.0])[:, None, None])


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 12)
        self.down = nn.Linear(12, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        x = x + self.down(functional.gelu(self.up(self.norm(x))))
        logits: Tensor = self.head(x)
        return logits


def test_all_that_adds_to_a_stream_writes_one_space() -> None:
    found = _layers(_Residual(), 6)
    assert found["enter"].writes == found["down"].writes != found["up"].writes
    up, head = found["up"].reads, found["head"].reads
    assert up is not None
    assert head is not None
    assert up.space == head.space == found["enter"].writes
    assert up.linear
    assert up.scale is not None
    assert head.scale is None


def test_a_depthwise_convolution_keeps_its_units() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, groups=6), nn.Flatten(), nn.Linear(216, 2)
    )
    found = _layers(net, 3, 8, 8)
    assert found["1"].kind == "depthwise"
    assert found["1"].writes == found["0"].writes


class _Odd(nn.Module):
    """Reorders, concatenates and mixes axes."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 1)
        self.two = nn.Conv2d(3, 4, 1)
        self.three = nn.Conv2d(8, 5, 1)
        self.mix = nn.Linear(64, 7)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.one(x), self.two(x)], dim=1)
        x = self.three(x).flatten(2)
        x = self.mix(x).mean(dim=2)
        logits: Tensor = self.head(x)
        return logits


def test_where_units_cannot_be_followed_their_trace_ends() -> None:
    found = _layers(_Odd(), 3, 8, 8)
    assert found["three"].reads is None
    assert found["mix"].reads is None  # places, not channels
    assert found["head"].reads is None


def test_a_network_that_is_watched_in_a_form_not_foreseen_is_read_all_the_same() -> None:
    class Turned(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            x = self[0](x).transpose(dim0=1, dim1=1)
            logits: Tensor = self[1](x.flatten(start_dim=1))
            return logits

    found = _layers(Turned(nn.Conv2d(3, 4, 8), nn.Linear(4, 2)), 3, 8, 8)
    assert list(found) == ["0", "1"]


def test_a_layer_written_as_a_product_of_two_is_one() -> None:
    first, second = nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 6, 1)
    net = nn.Sequential(first, second, nn.ReLU(), nn.Flatten(), nn.Linear(216, 2))
    found = _layers(net, 3, 8, 8)
    assert list(found) == ["1", "4"]
    whole = torch.einsum("oi,icxy->ocxy", second.weight.detach()[:, :, 0, 0], first.weight.detach())
    assert torch.allclose(found["1"].weight, whole.flatten(2), atol=1e-6)
    assert found["1"].kind == "convolution"


def test_layers_with_an_activation_or_another_reader_between_them_stay_two() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    assert list(_layers(net, 6)) == ["0", "2", "4"]
    assert list(_layers(_Residual(), 6)) == ["enter", "up", "down", "head"]


def test_a_product_that_would_fill_the_memory_stays_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = nn.Sequential(nn.Linear(6, 1), nn.Linear(1, 9), nn.ReLU(), nn.Linear(9, 2))
    assert list(_layers(net, 6)) == ["1", "3"]
    monkeypatch.setattr(wiring, "_WHOLE", 6 * 9 - 1)
    assert list(_layers(net, 6)) == ["0", "1", "3"]


def test_three_layers_with_nothing_between_them_are_one() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 5), nn.Linear(5, 8), nn.ReLU())
    assert list(_layers(net.append(nn.Linear(8, 2)), 6)) == ["2", "4"]


def test_a_layer_that_is_used_twice_is_listed_once() -> None:
    layer = nn.Linear(6, 6)
    net = nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(6, 2))
    assert list(_layers(net, 6)) == ["0", "4"]
