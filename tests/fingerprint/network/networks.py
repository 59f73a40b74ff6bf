"""Toy networks and files for the tests of this room."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Runs:
    """A pickled object that leaves a mark when somebody unpickles it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def small(num_classes: int = 5) -> nn.Sequential:
    """A convolutional network for 3-channel images of any size."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, num_classes),
    )


def without_default(num_classes: int) -> nn.Sequential:
    """Like ``small``, for callers who must say how many classes."""
    return small(num_classes)


def fixed() -> nn.Sequential:
    """A factory that takes nothing."""
    return small()


def fails() -> nn.Module:
    raise RuntimeError("no such luck")


def no_module() -> int:
    return 3


HERE = "tests.fingerprint.network.networks"
SMALL = f"{HERE}:small"


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two state_dicts hold the same numbers under the same names."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
