"""Networks that share something trivial, and no training, are not said to share weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fingerprint.lab.modifications import pruned
from fingerprint.network.loading import load_model
from fingerprint.weights.comparison import compare
from fingerprint.weights.finding import judged


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _perceptron(*weights: Tensor) -> nn.Module:
    net = nn.Sequential()
    for weight in weights:
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data = weight.clone()
        net.extend([layer, nn.ReLU()])
    return net[:-1].eval()


def _ends(seed: int, width: int) -> tuple[Tensor, Tensor]:
    return _random(seed + 20, width, width), _random(seed + 40, 3, width)


def _there_and_back(seed: int) -> nn.Module:
    weight = _random(seed, 64, 16)
    return _perceptron(weight, weight.T, *_ends(seed, 16))


class _Flow(nn.Module):
    """Each block gives by the matrix it reads by, as networks that descend an energy do."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 32)
        self.enter.weight.data = _random(seed, 32, 8)
        self.up = nn.ModuleList(nn.Linear(32, 128) for _ in range(3))
        self.down = nn.ModuleList(nn.Linear(128, 32) for _ in range(3))
        self.head = nn.Linear(32, 3)
        for number, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            weight = _random(10 * seed + number, 128, 32)
            up.get_parameter("weight").data = weight
            noise = 0.2 * _random(10 * seed + number + 7, 32, 128)
            down.get_parameter("weight").data = noise - weight.T

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for up, down in zip(self.up, self.down, strict=True):
            x = x + down(torch.relu(up(x)))
        logits: Tensor = self.head(x)
        return logits


def _identities(seed: int) -> nn.Module:
    return _perceptron(*[torch.eye(32)] * 3, *_ends(seed, 32))


def _nearly_identities(seed: int) -> nn.Module:
    layers = [torch.eye(32) + 0.05 * _random(seed + k, 32, 32) for k in (60, 70)]
    return _perceptron(torch.eye(32), *layers, *_ends(seed, 32))


def _masked(seed: int) -> nn.Module:
    places = torch.arange(64)
    mask = (places[:, None] - places).abs() <= 3
    layers = [mask * _random(seed + k, 64, 64).abs() for k in (0, 50, 100)]
    return _perceptron(*layers, *_ends(seed, 64))


def _first_layer_in_common(seed: int) -> nn.Module:
    return _perceptron(_random(999, 64, 16), _random(seed, 64, 64), *_ends(seed, 64))


def _constant(seed: int) -> nn.Module:
    return _perceptron(torch.ones(32, 32), torch.zeros(32, 32), *_ends(seed, 32))


def _equal_rows(seed: int) -> nn.Module:
    first, second = _random(seed, 16, 16), _random(seed + 7, 32, 16)
    return _perceptron(
        first.repeat_interleave(2, 0), second.repeat_interleave(2, 1), *_ends(seed, 32)
    )


def _of_rank_one(seed: int) -> nn.Module:
    first = _random(seed, 64, 1) @ _random(seed + 1, 1, 16)
    second = _random(seed + 2, 64, 1) @ _random(seed + 3, 1, 64)
    return _perceptron(first, second, *_ends(seed, 64))


def _one_input(seed: int) -> nn.Module:
    return _perceptron(_random(seed, 64, 1), _random(seed + 9, 64, 64), *_ends(seed, 64))


@pytest.mark.parametrize(
    "made",
    [
        _there_and_back,
        _Flow,
        _identities,
        _nearly_identities,
        _masked,
        _first_layer_in_common,
        _constant,
        _equal_rows,
        _of_rank_one,
        _one_input,
    ],
)
def test_what_is_trivial_is_no_evidence(made: Callable[[int], nn.Module]) -> None:
    nets = [made(seed).eval() for seed in range(3)]
    size = (nets[0].get_parameter("enter.weight" if made is _Flow else "0.weight").shape[1],)
    models = [load_model(net, input_size=size, bounds=(-1, 1)) for net in nets]
    for one, other in itertools.combinations(models, 2):
        found = compare(one, other)
        assert found.p_value is None or found.p_value > 0.1


class _HandMade(nn.Module):
    """Edge filters, default normalisations, blurs and sums that everybody writes alike."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        edge = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
        blur = torch.tensor([1.0, 2, 1]) / 4
        self.edges = nn.Conv2d(3, 12, 3)
        self.norm = nn.BatchNorm2d(12)
        self.blur = nn.Conv2d(12, 12, 3, groups=12)
        self.sums = nn.Conv2d(12, 32, 3)
        self.learned = nn.Conv2d(32, 32, 3)
        self.head = nn.Linear(32, 3)
        for layer in (self.edges, self.sums):
            layer.weight.data.zero_()
        for k in range(12):
            self.edges.weight.data[k, k % 3] = torch.rot90(edge, k // 3)
        self.blur.weight.data = (blur[:, None] * blur).repeat(12, 1, 1, 1)
        for k in range(32):
            self.sums.weight.data[k, k % 12] = edge
            self.sums.weight.data[k, (5 * k + 1) % 12] = edge.T
        self.learned.weight.data = _random(seed, 32, 32, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blur(torch.relu(self.norm(self.edges(x))))
        x = torch.relu(self.learned(torch.relu(self.sums(x))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def test_filters_made_by_hand_are_no_evidence() -> None:
    one, other = (load_model(_HandMade(seed).eval(), input_size=(3, 16, 16)) for seed in (0, 1))
    found = compare(one, other)
    assert found.p_value is None or found.p_value > 0.1
    tested = [layer.ours for layer in found.layers if layer.p_value is not None]
    assert tested == ["learned"]


def test_a_pruned_model_and_its_like_are_undecided_and_a_dense_one_is_found() -> None:
    dense = _first_layer_in_common(0)
    thin, thinner = (pruned(dense, share=share) for share in (0.6, 0.8))
    one, other, third = (
        load_model(net, input_size=(16,), bounds=(-1, 1)) for net in (dense, thin, thinner)
    )
    for pair, verdict in (((one, third), "shared"), ((other, third), "undecided")):
        found = compare(*pair)
        assert judged("a", found, same=False, alpha=0.001).verdict == verdict
