"""Simulated modifications of a model: what a thief might have done to it, in milliseconds.

They stand in for fine-tuned and quantised copies when the registration has to choose between
kinds of start noise and where probes are to hold for more than the model; nothing about them
enters a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fingerprint.lab.modifications import on_grid, with_weights, without_smallest
from fingerprint.network.model import Model

__all__ = ["MILD", "SEVERE", "Severity", "simulated_modifications"]


@dataclass(frozen=True)
class Severity:
    """How much a modified copy differs from its source.

    Attributes:
        noise: Standard deviation of noise on the weights, relative to theirs.
        bits: Bits a weight is rounded to.
        pruned: Share of the weights set to zero.
    """

    noise: float
    bits: int
    pruned: float


MILD = Severity(noise=0.05, bits=6, pruned=0.2)
"""Changes that large networks survive; harsher ones push every start to a ratio of one there,
and nothing could be compared."""

SEVERE = Severity(noise=0.2, bits=4, pruned=0.5)
"""Changes about as large as those of fine-tuning a small network."""


def simulated_modifications(model: Model, severity: Severity) -> tuple[Model, ...]:
    """Returns three copies: with noise on the weights, with rounded weights, and pruned."""
    generator = torch.Generator().manual_seed(0)

    def noised(weight: Tensor) -> Tensor:
        noise = torch.randn(weight.shape, generator=generator).to(weight)
        return weight + severity.noise * weight.std() * noise

    def quantised(weight: Tensor) -> Tensor:
        return on_grid(weight, severity.bits)

    def pruned(weight: Tensor) -> Tensor:
        return without_smallest(weight, severity.pruned)

    return tuple(
        replace(model, module=with_weights(model.module, change))
        for change in (noised, quantised, pruned)
    )
