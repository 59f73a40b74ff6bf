"""Answers and harm ratios of a network, computed the plain way."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fingerprint.probes.probe import Fingerprint

__all__ = ["answers", "ratios"]


def answers(module: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a network says to 8-bit images: the plain way, centred over classes."""
    with torch.no_grad():
        logits = module(torch.from_numpy(np.ascontiguousarray(images)).float() / 255).double()
    centred: NDArray[np.float64] = (logits - logits.mean(dim=1, keepdim=True)).numpy()
    return centred


def _harms(module: nn.Module, fingerprint: Fingerprint) -> NDArray[np.float64]:
    """Harm of each probe and of its δ turned four ways, computed the plain way."""
    bases = fingerprint.bases[[probe.base for probe in fingerprint.probes]].astype(np.int16)
    delta = fingerprint.harmless.astype(np.int16) - bases
    turned = (
        delta,
        np.rot90(delta, 1, (2, 3)),
        np.rot90(delta, -1, (2, 3)),
        delta[:, :, ::-1, ::-1],
        delta[:, :, ::-1],
    )
    origin = answers(module, bases.astype(np.uint8))
    members = [answers(module, (bases + one).astype(np.uint8)) - origin for one in turned]
    return np.stack([np.linalg.norm(one, axis=1) for one in members], axis=1)


def ratios(module: nn.Module, fingerprint: Fingerprint) -> NDArray[np.float64]:
    """Harm ratio of each probe: its harm over the geometric mean of its turns'."""
    logs = np.log(_harms(module, fingerprint))
    found: NDArray[np.float64] = np.exp(logs[:, 0] - logs[:, 1:].mean(axis=1))
    return found
