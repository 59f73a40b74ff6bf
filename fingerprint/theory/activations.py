"""Activations: what each of them does not notice, by the names of torch's functions.

    ACTIVATIONS["relu"](z).free     # entries that are not positive (Lemma 1.2)
    ACTIVATIONS["gelu"](z)

Sigmoid, tanh, leaky ReLU and their kind are injective, so nothing is harmless but 0 (Lemma 1.1),
in exact arithmetic: floating-point numbers saturate, and ``sigmoid(40)`` and ``sigmoid(50)`` are
one number. GELU, SiLU, Mish and hardswish are *not* injective, which the paper passes over: they
fall and then rise, so a negative entry shares its answer with one other, but for the one where
they turn. These others are isolated points, and nothing moves continuously, except on
hardswish's flat piece below -3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fingerprint.errors import UsageError
from fingerprint.theory.elementwise import Elementwise, Interval, constant_on, other_preimage

__all__ = ["ACTIVATIONS", "injective"]


def injective(z: Tensor, *_: Any, **__: Any) -> Elementwise:
    """Returns {0}: the layer tells all features apart (Lemma 1.1)."""
    note = "injective in exact arithmetic; saturated floating-point values can move"
    return Elementwise(z, (z, z), note=note)


def _clamping(z: Tensor, low: float, high: float) -> Elementwise:
    """Lemma 1.2 at both ends: ReLU is clamping to [0, ∞), ReLU6 to [0, 6]."""
    if low >= high:
        return constant_on(z, (-math.inf, math.inf))
    return constant_on(z, (-math.inf, low), (high, math.inf))


def _relu(z: Tensor) -> Elementwise:
    return _clamping(z, 0.0, math.inf)


def _hardtanh(z: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Elementwise:
    return _clamping(z, min_val, max_val)


def _clamp(z: Tensor, min: Any = None, max: Any = None) -> Elementwise:
    if any(isinstance(bound, Tensor) and bound.numel() != 1 for bound in (min, max)):
        raise UsageError("clamp: expected bounds that are numbers, got a tensor of many")
    low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    return _clamping(z, float(low), float(high))


def _threshold(z: Tensor, threshold: float, value: float) -> Elementwise:
    """``z if z > threshold else value``; a value above it is given by that entry too."""

    def far() -> Interval:
        point = torch.where(z <= threshold, value, torch.nan)
        same = z == value
        return torch.where(same, -math.inf, point), torch.where(same, threshold, point)

    return constant_on(z, (-math.inf, threshold), far=far if value > threshold else None)


def _shrinking(z: Tensor, lambd: float = 0.5) -> Elementwise:
    return constant_on(z, (-lambd, lambd))


def _leaky_relu(z: Tensor, negative_slope: float | Tensor = 0.01) -> Elementwise:
    """A slope of 0 is ReLU; a negative one gives each entry's answer to one of the other sign."""
    slopes = torch.as_tensor(negative_slope, dtype=z.dtype, device=z.device).expand(z.shape)
    flat = (slopes == 0) & (z <= 0)

    def far() -> Interval:
        folded = torch.where(z > 0, z / torch.where(slopes < 0, slopes, 1.0), slopes * z)
        point = torch.where((slopes < 0) & (z != 0), folded, math.nan)
        return point, point

    near = torch.where(flat, -math.inf, z), torch.where(flat, 0.0, z)
    return Elementwise(z, near, far if bool((slopes < 0).any()) else None)


def _prelu(z: Tensor, weight: Tensor) -> Elementwise:
    slopes = weight.detach()
    if weight.numel() > 1:  # one for each channel, the second axis
        slopes = slopes.reshape(-1, *[1] * (z.ndim - 2))
    return _leaky_relu(z, slopes)


def _rrelu(
    z: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Elementwise:
    if training:
        raise UsageError("rrelu: expected evaluation mode, got training mode; call eval()")
    return _leaky_relu(z, (lower + upper) / 2)


def _elu(z: Tensor, alpha: float = 1.0) -> Elementwise:
    if alpha < 0:
        raise UsageError(f"elu: expected an alpha of at least 0, got {alpha}")
    return injective(z) if alpha > 0 else _relu(z)


def _softplus(z: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Elementwise:
    if threshold < 20.0:
        raise UsageError(
            f"softplus: expected a threshold of at least 20, got {threshold}; where torch passes "
            "to the identity it jumps down, and values come twice"
        )
    return injective(z)


def _hardswish(z: Tensor) -> Elementwise:
    """0 for all z ≤ -3 and for z = 0; the parabola between is symmetric about -1.5."""

    def far() -> Interval:
        mirrored = (z > -3.0) & (z < 0.0) & (z != -1.5)
        point = torch.where(mirrored, -3.0 - z, torch.where(z <= -3.0, 0.0, math.nan))
        nought = z == 0.0
        return torch.where(nought, -math.inf, point), torch.where(nought, -3.0, point)

    note = "constant below -3; elsewhere isolated points"
    return constant_on(z, (-math.inf, -3.0), far=far, note=note)


def _turning(z: Tensor, function: Callable[[Tensor], Tensor]) -> Elementwise:
    """Falls to one minimum and rises from it: every negative entry but that has a twin."""

    def far() -> Interval:
        point = other_preimage(function, z)
        return point, point

    return Elementwise(z, (z, z), far, note="not injective, but other preimages are isolated")


def _gelu(z: Tensor, approximate: str = "none") -> Elementwise:
    """GELU without the cancellation in ``1 + erf`` and ``1 + tanh``, which takes all digits."""
    if approximate == "tanh":
        bend = math.sqrt(8 / math.pi)
        return _turning(z, lambda x: x * torch.sigmoid(bend * (x + 0.044715 * x * x * x)))
    return _turning(z, lambda x: x * torch.special.ndtr(x))


_INJECTIVE = "sigmoid expit tanh softsign logsigmoid log_sigmoid tanhshrink selu celu erf"

ACTIVATIONS: dict[str, Callable[..., Elementwise]] = {
    **dict.fromkeys(_INJECTIVE.split(), injective),
    "relu": _relu,
    "relu6": lambda z: _clamping(z, 0.0, 6.0),
    "hardtanh": _hardtanh,
    "hardsigmoid": lambda z: _clamping(z, -3.0, 3.0),
    **dict.fromkeys(("clamp", "clip"), _clamp),
    "clamp_min": lambda z, min: _clamp(z, min=min),
    "clamp_max": lambda z, max: _clamp(z, max=max),
    "threshold": _threshold,
    **dict.fromkeys(("hardshrink", "softshrink"), _shrinking),
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "rrelu": _rrelu,
    "elu": _elu,
    "softplus": _softplus,
    "hardswish": _hardswish,
    "silu": lambda z: _turning(z, F.silu),
    "mish": lambda z: _turning(z, F.mish),
    "gelu": _gelu,
}
"""Takes the features and what else the function of torch takes, but for ``inplace``."""
