"""Simulated derivatives of a model: what a thief might have done to it, in milliseconds.

They stand in for fine-tuned and quantised copies when the registration has to choose between
kinds of start noise; nothing about them enters a verdict.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from fingerprint.models.model import Model

__all__ = ["simulated_derivatives"]

_NOISE = 0.2
_PRUNED = 0.5
_BITS = 4


def simulated_derivatives(model: Model) -> tuple[Model, ...]:
    """Returns copies with noise on the weights, rounded to 4 bits, and half the weights pruned.

    Each is severe enough to change answers about as much as fine-tuning does.
    """
    generator = torch.Generator().manual_seed(0)

    def noised(weight: Tensor) -> Tensor:
        noise = torch.randn(weight.shape, generator=generator).to(weight)
        return weight + _NOISE * weight.std() * noise

    return tuple(_with_weights(model, change) for change in (noised, _quantised, _pruned))


def _with_weights(model: Model, change: object) -> Model:
    module: nn.Module = copy.deepcopy(model.module)
    for parameter in module.parameters():
        if parameter.ndim > 1 and callable(change):
            parameter.data = change(parameter.data)
    return replace(model, module=module)


def _quantised(weight: Tensor) -> Tensor:
    axes = tuple(range(1, weight.ndim))
    step = weight.abs().amax(axes, keepdim=True) / (2 ** (_BITS - 1) - 1)
    step = torch.where(step > 0, step, torch.ones_like(step))
    return (weight / step).round() * step


def _pruned(weight: Tensor) -> Tensor:
    keep = max(1, round((1 - _PRUNED) * weight.numel()))
    threshold = weight.abs().flatten().topk(keep).values[-1]
    return torch.where(weight.abs() >= threshold, weight, torch.zeros_like(weight))
