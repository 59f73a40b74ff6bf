"""Activations: what each of them does not notice.

    relu(z).free            # entries that are not positive (Lemma 1.2)
    turning(z, F.gelu)      # GELU

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

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.perturbations.nonlinear.elementwise import Elementwise, Interval
from fingerprint.perturbations.nonlinear.turning import other_preimage

__all__ = [
    "clamping",
    "hardswish",
    "injective",
    "leaky_relu",
    "relu",
    "shrinking",
    "thresholding",
    "turning",
]


def injective(z: Tensor) -> Elementwise:
    """Returns {0}: the layer tells all features apart (Lemma 1.1).

    Sigmoid, tanh, ELU, SELU, CELU, softplus, softsign, log-sigmoid, tanhshrink, and batch norm
    with weights that are not zero.
    """
    note = "injective in exact arithmetic; saturated floating-point values can move"
    return Elementwise(z, (z, z), note=note)


def relu(z: Tensor) -> Elementwise:
    """Returns the set of ReLU: δ ≤ -z where z ≤ 0, and 0 elsewhere (Lemma 1.2)."""
    return clamping(z, 0.0, math.inf)


def clamping(z: Tensor, low: float, high: float) -> Elementwise:
    """Returns the set of clamping to ``[low, high]``: Lemma 1.2 at both ends.

    ReLU is clamping to [0, ∞), ReLU6 to [0, 6], hardtanh to [-1, 1]; hard sigmoid is an affine
    function of clamping to [-3, 3].

    Raises:
        UsageError: ``low`` is above ``high``, or a bound is NaN.
    """
    if not low <= high:
        raise UsageError(f"clamping: expected low <= high, got {low} and {high}")
    if low == high:
        return Elementwise(z, (torch.full_like(z, -math.inf), torch.full_like(z, math.inf)))
    below, above = z <= low, z >= high
    smallest = torch.where(below, -math.inf, torch.where(above, high, z))
    largest = torch.where(below, low, torch.where(above, math.inf, z))
    return Elementwise(z, (smallest, largest))


def thresholding(z: Tensor, limit: float, value: float) -> Elementwise:
    """Returns the set of ``z if z > limit else value``.

    A value above the limit is given by an entry of that value too: a far point.
    """
    low = z <= limit
    near = torch.where(low, -math.inf, z), torch.where(low, limit, z)

    def far() -> Interval:
        point = torch.where(low, value, torch.full_like(z, math.nan))
        same = z == value
        return torch.where(same, -math.inf, point), torch.where(same, limit, point)

    return Elementwise(z, near, far if value > limit else None)


def shrinking(z: Tensor, width: float) -> Elementwise:
    """Returns the set of hard and soft shrinkage, which answer 0 on ``[-width, width]``."""
    flat = z.abs() <= width
    return Elementwise(z, (torch.where(flat, -width, z), torch.where(flat, width, z)))


def leaky_relu(z: Tensor, slope: float | Tensor) -> Elementwise:
    """Returns the set of leaky ReLU and PReLU: {0} for positive slopes (Lemma 1.1).

    A slope of zero is ReLU. A negative one folds the axis: each entry shares its answer with one
    of the other sign.

    Args:
        z: The features.
        slope: Of the negative side; a number, or a tensor that broadcasts to z.
    """
    slopes = torch.as_tensor(slope, dtype=z.dtype, device=z.device).expand(z.shape)
    flat = (slopes == 0) & (z <= 0)
    near = torch.where(flat, -math.inf, z), torch.where(flat, 0.0, z)

    def far() -> Interval:
        folded = torch.where(z > 0, z / torch.where(slopes < 0, slopes, 1.0), slopes * z)
        point = torch.where((slopes < 0) & (z != 0), folded, math.nan)
        return point, point

    return Elementwise(z, near, far if bool((slopes < 0).any()) else None)


def hardswish(z: Tensor) -> Elementwise:
    """Returns the set of hardswish ``z · clamp(z + 3, 0, 6) / 6``.

    It answers 0 for all z ≤ -3 and for z = 0, and its parabola between is symmetric about -1.5.
    """
    flat, nought = z <= -3.0, z == 0.0
    near = torch.where(flat, -math.inf, z), torch.where(flat, -3.0, z)

    def far() -> Interval:
        mirrored = (z > -3.0) & (z < 0.0) & (z != -1.5)
        point = torch.where(mirrored, -3.0 - z, torch.where(flat, 0.0, math.nan))
        low = torch.where(nought, -math.inf, point)
        return low, torch.where(nought, -3.0, point)

    return Elementwise(z, near, far, note="constant below -3; elsewhere isolated points")


def turning(z: Tensor, function: Callable[[Tensor], Tensor]) -> Elementwise:
    """Returns the set of GELU, SiLU or Mish, which fall to one minimum and rise from it.

    The set is finite: every negative entry but the minimum has one other preimage of its answer,
    so ``free`` is 0, and a member either leaves an entry or moves it to that point.

    Args:
        z: The features.
        function: The activation.
    """

    def far() -> Interval:
        point = other_preimage(function, z)
        return point, point

    return Elementwise(z, (z, z), far, note="not injective, but other preimages are isolated")
