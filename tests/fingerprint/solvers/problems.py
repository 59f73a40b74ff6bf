"""What the tests of the solvers share: inputs, an independent residual, and a spy."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint import Model, load_model
from fingerprint.decomposition import precise
from fingerprint.solvers import Solution

__all__ = [
    "BOX",
    "Spy",
    "answers",
    "assert_in_box",
    "doubled",
    "exact",
    "inputs",
    "residuals",
    "small_network",
]

BOX = (0.0, 1.0)


def inputs(count: int, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, ...]:
    """Plain grey bases and black-and-white starts at the digits' size, ``(count, 1, 16, 16)``."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(count, 1, 1, 1, generator=generator, dtype=torch.float64)
    start = torch.randint(0, 2, (count, 1, 16, 16), generator=generator)
    return base.expand(count, 1, 16, 16).to(dtype), start.to(dtype)


def doubled(network: nn.Module) -> nn.Module:
    """A float64 copy, so that the shared network stays as it is."""
    return copy.deepcopy(network).double()


def exact(network: nn.Module) -> Model:
    """The model of a network for digits, in the precision in which claims are exact."""
    return precise(load_model(network, input_size=(1, 16, 16)))


def answers(model: Model, x: Tensor) -> Tensor:
    """What a model says to inputs ``(B, 1, 16, 16)``, without gradients."""
    with torch.no_grad():
        return model(x)


def small_network(seed: int = 0) -> nn.Module:
    """A smooth network of 12 inputs and 5 outputs in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 5)).double()


def residuals(
    network: Callable[[Tensor], Tensor], base: Tensor, delta: Tensor
) -> NDArray[np.float64]:
    """``‖g(x+δ) − g(x)‖ / ‖g(x)‖`` one probe at a time, in NumPy."""
    found = []
    for x, d in zip(base, delta, strict=True):
        with torch.no_grad():
            before = network(x[None])[0].double().numpy()
            after = network((x + d)[None])[0].double().numpy()
        before, after = before - before.mean(), after - after.mean()
        found.append(np.linalg.norm(after - before) / np.linalg.norm(before))
    return np.array(found)


def assert_in_box(base: Tensor, solution: Solution, slack: float = 1e-15) -> None:
    point = base + solution.delta
    assert bool(torch.isfinite(point).all())
    assert float(point.min()) >= BOX[0] - slack
    assert float(point.max()) <= BOX[1] + slack


class Spy:
    """Counts what a network is asked, and remembers the extremes of it."""

    def __init__(self, network: Callable[[Tensor], Tensor]) -> None:
        self.network = network
        self.lowest, self.highest, self.asked = float("inf"), float("-inf"), 0

    def __call__(self, x: Tensor) -> Tensor:
        self.lowest = min(self.lowest, float(x.detach().min()))
        self.highest = max(self.highest, float(x.detach().max()))
        self.asked += len(x)
        return self.network(x)
