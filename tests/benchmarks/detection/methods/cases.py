"""Trained networks and suspects that the tests of all methods share."""

from __future__ import annotations

import copy
from functools import cache

import torch
from torch import Tensor, nn

from fingerprint.lab import modifications, networks, training
from fingerprint.lab.training import Settings
from tests.support.digits import digits

__all__ = ["Counting", "fine_tuned", "independent", "other_task", "source"]


@cache
def source() -> nn.Module:
    """A convolutional network trained for so short that it still makes mistakes."""
    return training.trained(networks.cnn, digits(), Settings(epochs=2), seed=0)


@cache
def independent() -> nn.Module:
    """The same architecture and data, another seed."""
    return training.trained(networks.cnn, digits(), Settings(epochs=2), seed=1)


@cache
def fine_tuned() -> nn.Module:
    """The source, all layers trained for one more epoch."""
    return modifications.fine_tuned(source(), digits(), Settings(epochs=1, lr=3e-4), seed=7)


@cache
def other_task() -> nn.Module:
    """The source with a new head for four classes."""
    changed = copy.deepcopy(source())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        changed.head = nn.Linear(changed.head.in_features, 4)
    return changed


class Counting(nn.Module):
    """A black box: no parameters, no gradients, and a count of the images it was asked."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.asked = 0
        self._hidden = [network]

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        self.asked += len(x)
        return torch.from_numpy(self._hidden[0](x).numpy())
