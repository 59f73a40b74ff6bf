"""What the lab's tests share: few images, and networks whose every weight matters."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from fingerprint.lab.architectures import build
from fingerprint.lab.data import Data
from tests.support.digits import digits

__all__ = ["few_images", "images_for", "unsettled"]


@cache
def few_images() -> Data:
    """Returns 96 digits to learn from and 60 to be tested on."""
    data = digits()
    return replace(
        data,
        train_images=data.train_images[:96],
        train_labels=data.train_labels[:96],
        test_images=data.test_images[:60],
        test_labels=data.test_labels[:60],
    )


def images_for(architecture: str, count: int = 6) -> Tensor:
    """Returns random images of the size an architecture takes."""
    size = (1, 16, 16) if architecture.startswith("digits") else (3, 32, 32)
    return torch.rand(count, *size, generator=torch.Generator().manual_seed(0))


def unsettled(architecture: str) -> nn.Module:
    """Builds a network whose normalisation is far from the identity, as a trained one's is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(architecture)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2)
    return network
