"""Fingerprints of the trained networks, extracted once for a test session."""

from __future__ import annotations

from functools import cache

from torch import nn

from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.probes.extraction import extract
from fingerprint.probes.probe import Fingerprint
from tests.support.digits import network

__all__ = ["SEED", "SIZE", "fingerprint_of", "loaded", "model_of"]

SEED = "0c" * 32
"""A registry seed whose grey bases are far from black and white."""
SIZE = (1, 16, 16)


def loaded(module: nn.Module) -> Model:
    """Returns a network on digits as a model."""
    return load_model(module, input_size=SIZE)


@cache
def model_of(kind: str, seed: int = 0) -> Model:
    """Returns a trained network as a model; see ``digits.network``."""
    return loaded(network(kind, seed))


@cache
def fingerprint_of(kind: str) -> Fingerprint:
    """Returns the fingerprint of ``model_of(kind)`` with 24 probes."""
    return extract(model_of(kind), seed=SEED)
