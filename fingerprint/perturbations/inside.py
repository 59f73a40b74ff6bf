"""Which input, harmlessly reached from a base and inside the box, lies nearest to a target?

    inside = nearest_inside(space, base, target, bounds=(0.0, 1.0))
    inside.point        # in the box exactly; point - base in the space to inside.residual

The answer is ``clamp(target − y)`` for the y of the harmful space that makes it so: the dual of
the projection on a subspace and a box. Alternating projections climb the same concave dual by
unit steps and need thousands where pixels are saturated; Nesterov's steps, restarted when they
overshoot (O'Donoghue and Candès 2015), need hundreds and end at rounding error.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.progress import Progress, silent
from fingerprint.spaces.subspace import Subspace

__all__ = ["Inside", "nearest_inside"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Inside:
    """Inputs in the box, and how harmless they are.

    Attributes:
        point: Shape ``(B, *shape)``, float64, inside the bounds exactly.
        residual: ``‖(I − P)(point − base)‖ / ‖point − base‖`` of each, shape ``(B,)``; 0 where
            the point is the base.
        steps: Projections on the space.
    """

    point: Tensor
    residual: Tensor
    steps: int


def nearest_inside(
    space: Subspace,
    base: Tensor,
    target: Tensor,
    *,
    bounds: tuple[float, float],
    tolerance: float = 1e-12,
    max_steps: int = 500,
    progress: Progress = silent,
) -> Inside:
    """Projects targets on the inputs that a space makes of each base inside the box.

    What comes out depends on the base through its harmful part ``(I − P) base`` alone: bases
    that differ by a harmless perturbation span one set. Only when a row has arrived is judged
    by its distance from the base itself, so that below the tolerance they may differ.

    Args:
        space: The harmless space, with vectors of shape ``shape``.
        base: Inputs x inside the bounds, shape ``(B, *shape)``.
        target: Shape ``(B, *shape)``, not necessarily inside the bounds.
        bounds: Smallest and largest value of any coordinate.
        tolerance: Residual at which a row has arrived.
        max_steps: Projections at most.
        progress: Called after each.
    """
    low, high = bounds
    harmful = space.complement(base)
    target = target.to(harmful)
    point = torch.empty_like(harmful)
    residual = torch.ones(len(base), dtype=harmful.dtype, device=harmful.device)
    rows = torch.arange(len(base), device=harmful.device)
    dual, ahead = torch.zeros_like(harmful), torch.zeros_like(harmful)
    pace = torch.ones_like(residual).reshape(-1, *[1] * (base.ndim - 1))
    steps = 0
    for steps in range(1, max_steps + 1):
        trial = (target[rows] - ahead).clamp(low, high)
        slope = space.complement(trial) - harmful[rows]
        point[rows] = trial
        residual[rows] = _relative(slope, trial - base[rows])
        keep = residual[rows] > tolerance
        progress("solving", steps, max_steps)
        if not bool(keep.any()):
            break
        new = ahead + slope
        # A step that turns back has overshot: it goes on from there without momentum.
        overshot = ((ahead - new) * (new - dual)).flatten(1).sum(dim=1) > 0
        pace = torch.where(overshot.reshape(pace.shape), 1.0, pace)
        following = (1.0 + (1.0 + 4.0 * pace.square()).sqrt()) / 2.0
        ahead = new + (pace - 1.0) / following * (new - dual)
        rows, dual, ahead, pace = rows[keep], new[keep], ahead[keep], following[keep]
    return Inside(point=point, residual=residual, steps=steps)


def _relative(slope: Tensor, delta: Tensor) -> Tensor:
    length = delta.flatten(1).norm(dim=1)
    harm = slope.flatten(1).norm(dim=1)
    return torch.where(length > 0, harm / torch.where(length > 0, length, 1.0), harm)
