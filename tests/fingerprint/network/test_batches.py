from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fingerprint.errors import IncompatibleModel
from fingerprint.network import load_model
from tests.fingerprint.network.networks import small


class Training(nn.Module):
    """Keeps its batch norm in training mode, whatever eval() says."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def train(self, mode: bool = True) -> Training:
        super().train(mode)
        self.inner[1].train()
        return self

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


class Changed(nn.Module):
    """Runs a network after or before something else."""

    def __init__(self, change: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = small()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.inner, x)


def untracked() -> nn.Module:
    network = small()
    network[1] = nn.BatchNorm2d(4, track_running_stats=False)
    return network


def flat_statistics() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 6), nn.BatchNorm1d(6, track_running_stats=False),
        nn.Linear(6, 3),
    )  # fmt: skip


def pairs(inner: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = inner(x.view(2, len(x) // 2, *x.shape[1:]).flatten(0, 1))
    return y


def blocks(size: int) -> nn.Module:
    def change(inner: nn.Module, x: Tensor) -> Tensor:
        if len(x) != size:
            raise RuntimeError(f"shape [{size}, 3, 8, 8] is invalid")
        y: Tensor = inner(x)
        return y

    return Changed(change)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Training(), r"depends on what else.*'inner\.1' stays in training mode"),
        (untracked(), r"depends on what else.*'1' keeps no running statistics"),
        (flat_statistics(), r"not 1: .*keeps no running statistics"),
        (Changed(lambda inner, x: inner(x - x.mean())), "depends on what else"),
        (Changed(lambda inner, x: inner(x).softmax(0)), "depends on what else"),
        (Changed(lambda inner, x: inner(x) - inner(x).mean(0)), "depends on what else"),
        (Changed(pairs), "2 inputs at a time, but not [13]"),
        (blocks(8), "takes 8 inputs at a time, but not 2"),
        (blocks(2), "2 inputs at a time, but not 1"),
        (blocks(1), "takes 1 inputs at a time, but not 2"),
        (Changed(lambda inner, x: inner(x[:2])), "does not answer 3 inputs with 3 rows"),
    ],
    ids=["training", "untracked", "flat", "mean", "softmax over rows", "centred", "pairs", "eight",
         "two", "one", "first two"],
)  # fmt: skip
def test_answers_that_depend_on_the_batch_are_refused_with_the_reason(
    network: nn.Module, reason: str
) -> None:
    with pytest.raises(IncompatibleModel, match=reason):
        load_model(network, input_size=(3, 8, 8))


@pytest.mark.parametrize(
    "network",
    [
        small(),
        nn.Sequential(small(), nn.Softmax(1)),
        nn.Sequential(nn.InstanceNorm2d(3), small()),
        nn.Sequential(nn.GroupNorm(1, 3), small()),
        Changed(lambda inner, x: 1e-6 * inner(x)),
        Changed(lambda inner, x: 1e6 + inner(x)),
    ],
    ids=["plain", "softmax", "instance norm", "group norm", "tiny", "large"],
)
def test_networks_that_answer_each_input_for_itself_are_taken(network: nn.Module) -> None:
    model = load_model(network.eval(), input_size=(3, 8, 8))
    assert not any("batch" in warning for warning in model.warnings)


@pytest.mark.parametrize(
    "noise",
    [
        lambda inner, x: inner(nn.functional.dropout(x, 0.1)),
        lambda inner, x: inner(x) + 1e-2 * torch.randn(len(x), 5),
        lambda inner, x: inner(x + 0.1 * torch.rand(1)),
    ],
    ids=["dropout", "noise on answers", "jitter"],
)
def test_networks_that_answer_at_random_are_taken_with_a_warning(
    noise: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    torch.manual_seed(0)
    model = load_model(Changed(noise).eval(), input_size=(3, 8, 8))
    assert any("differently each time" in warning for warning in model.warnings)


def test_the_digest_is_that_of_the_weights_before_they_ran() -> None:
    network = small()
    before = load_model(network.eval(), input_size=(3, 8, 8)).digest

    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = network
            self.module.register_buffer("seen", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.module.seen += len(x)
            y: Tensor = self.module(x)
            return y

    first, second = (load_model(Counts().eval(), input_size=(3, 8, 8)).digest for _ in range(2))
    assert first == second
    assert first != before  # the counter belongs to the weights


def test_an_error_of_the_networks_own_code_names_the_inputs_it_failed_on() -> None:
    def fail_on_many(inner: nn.Module, x: Tensor) -> Tensor:
        if len(x) > 8:
            raise ZeroDivisionError("no such luck")
        y: Tensor = inner(x)
        return y

    model = load_model(Changed(fail_on_many).eval(), input_size=(3, 8, 8))
    with pytest.raises(IncompatibleModel, match="failed on 9 inputs of size 3,8,8: no such luck"):
        model(torch.rand(9, 3, 8, 8))
