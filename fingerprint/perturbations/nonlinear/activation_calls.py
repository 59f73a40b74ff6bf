"""Activations by the names and arguments of the functions of torch that compute them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fingerprint.errors import UsageError
from fingerprint.perturbations.nonlinear.activations import (
    clamping,
    hardswish,
    injective,
    leaky_relu,
    relu,
    shrinking,
    thresholding,
    turning,
)
from fingerprint.perturbations.nonlinear.harmless_set import HarmlessSet

__all__ = ["ACTIVATIONS", "Maker"]

Maker = Callable[..., HarmlessSet]
"""Takes the features and what else the function of torch takes."""


def _injective(z: Tensor, *_: Any, **__: Any) -> HarmlessSet:
    return injective(z)


def _relu(z: Tensor, inplace: bool = False) -> HarmlessSet:
    return relu(z)


def _relu6(z: Tensor, inplace: bool = False) -> HarmlessSet:
    return clamping(z, 0.0, 6.0)


def _hardtanh(
    z: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> HarmlessSet:
    return clamping(z, min_val, max_val)


def _hardsigmoid(z: Tensor, inplace: bool = False) -> HarmlessSet:
    return clamping(z, -3.0, 3.0)


def _clamp(z: Tensor, min: Any = None, max: Any = None) -> HarmlessSet:
    if any(isinstance(bound, Tensor) and bound.numel() != 1 for bound in (min, max)):
        raise UsageError("clamp: expected bounds that are numbers, got a tensor of many")
    low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    return clamping(z, float(low), float(high))


def _clamp_min(z: Tensor, min: float) -> HarmlessSet:
    return _clamp(z, min=min)


def _clamp_max(z: Tensor, max: float) -> HarmlessSet:
    return _clamp(z, max=max)


def _shrinking(z: Tensor, lambd: float = 0.5) -> HarmlessSet:
    return shrinking(z, lambd)


def _leaky_relu(z: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> HarmlessSet:
    return leaky_relu(z, negative_slope)


def _prelu(z: Tensor, weight: Tensor) -> HarmlessSet:
    slopes = weight.detach()
    if weight.numel() > 1:  # one for each channel, the second axis
        slopes = slopes.reshape(-1, *[1] * (z.ndim - 2))
    return leaky_relu(z, slopes)


def _rrelu(
    z: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> HarmlessSet:
    if training:
        raise UsageError("rrelu: expected evaluation mode, got training mode; call eval()")
    return leaky_relu(z, (lower + upper) / 2)


def _elu(z: Tensor, alpha: float = 1.0, inplace: bool = False) -> HarmlessSet:
    if alpha < 0:
        raise UsageError(f"elu: expected an alpha of at least 0, got {alpha}")
    return injective(z) if alpha > 0 else relu(z)


def _softplus(z: Tensor, beta: float = 1.0, threshold: float = 20.0) -> HarmlessSet:
    if threshold < 20.0:
        raise UsageError(
            f"softplus: expected a threshold of at least 20, got {threshold}; where torch passes "
            "to the identity it jumps down, and values come twice"
        )
    return injective(z)


def _threshold(z: Tensor, threshold: float, value: float, inplace: bool = False) -> HarmlessSet:
    return thresholding(z, threshold, value)


def _hardswish(z: Tensor, inplace: bool = False) -> HarmlessSet:
    return hardswish(z)


def _silu(z: Tensor, inplace: bool = False) -> HarmlessSet:
    return turning(z, F.silu)


def _mish(z: Tensor, inplace: bool = False) -> HarmlessSet:
    return turning(z, F.mish)


def _gelu(z: Tensor, approximate: str = "none") -> HarmlessSet:
    return turning(z, _gelu_by_tanh if approximate == "tanh" else _gelu_itself)


def _gelu_itself(z: Tensor) -> Tensor:
    """GELU without the cancellation in ``1 + erf``, which takes all digits below -8."""
    answer: Tensor = z * torch.special.ndtr(z)
    return answer


def _gelu_by_tanh(z: Tensor) -> Tensor:
    """GELU's approximation without the cancellation in ``1 + tanh``."""
    answer: Tensor = z * torch.sigmoid(math.sqrt(8 / math.pi) * (z + 0.044715 * z * z * z))
    return answer


_INJECTIVE = "sigmoid expit tanh softsign logsigmoid tanhshrink selu celu erf"

ACTIVATIONS: dict[str, Maker] = {
    **dict.fromkeys(_INJECTIVE.split(), _injective),
    "relu": _relu,
    "relu6": _relu6,
    "hardtanh": _hardtanh,
    "hardsigmoid": _hardsigmoid,
    **dict.fromkeys(("clamp", "clip"), _clamp),
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "threshold": _threshold,
    **dict.fromkeys(("hardshrink", "softshrink"), _shrinking),
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "rrelu": _rrelu,
    "elu": _elu,
    "softplus": _softplus,
    "hardswish": _hardswish,
    "silu": _silu,
    "mish": _mish,
    "gelu": _gelu,
}
