"""Networks trained on real digits, once for a test session, for whoever needs trained ones.

Fixtures hand out the shared network: copy it before changing it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from torch import nn

from fingerprint.lab import data, networks, training

__all__ = [
    "digits",
    "network",
    "trained_cnn",
    "trained_independent_cnn",
    "trained_independent_vit",
    "trained_mlp",
    "trained_vit",
]

_FACTORIES: dict[str, Callable[[], nn.Module]] = {
    "cnn": networks.cnn,
    "vit": networks.vit,
    "mlp": networks.mlp,
}


@cache
def digits() -> data.Data:
    """Returns the digits at the lab's size."""
    return data.digits()


@cache
def network(kind: str, seed: int = 0) -> nn.Module:
    """Returns a trained network in evaluation mode; the same object for the same arguments.

    Args:
        kind: ``cnn``, ``vit`` or ``mlp``.
        seed: Decides its initial weights and the order of its batches.
    """
    return training.trained(_FACTORIES[kind], digits(), seed=seed)


@pytest.fixture(scope="session")
def trained_cnn() -> nn.Module:
    """A convolutional network: no linear harmless space."""
    return network("cnn")


@pytest.fixture(scope="session")
def trained_independent_cnn() -> nn.Module:
    """The same architecture and data, another seed: the hardest independent model."""
    return network("cnn", 1)


@pytest.fixture(scope="session")
def trained_vit() -> nn.Module:
    """A transformer with a linear harmless space of half the input."""
    return network("vit")


@pytest.fixture(scope="session")
def trained_independent_vit() -> nn.Module:
    """The same architecture and data as ``trained_vit``, another seed."""
    return network("vit", 1)


@pytest.fixture(scope="session")
def trained_mlp() -> nn.Module:
    """A perceptron with a linear harmless space."""
    return network("mlp")
