"""Which input, harmlessly reached from a base and inside the box, lies nearest to a target?

    near = box_projection(space, base, target, bounds=(0.0, 1.0))
    near.point          # in the box exactly; point - base in the space to near.residual

    solution = solve_linear(space, base, start, bounds=(0.0, 1.0))
    solution.delta      # in the space to rounding error, and in the box

Any δ in the null space of the first affine segment is harmless for every input (Theorem 1), but
``x + δ`` must also be an input one can send. The nearest such point is ``clamp(target − y)`` for
the y of the harmful space that makes it so: the dual of the projection on a subspace and a box.
Alternating projections climb the same concave dual by unit steps and need thousands where pixels
are saturated; Nesterov's steps, restarted when they overshoot (O'Donoghue and Candès 2015), need
hundreds and end at rounding error.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.progress import Progress, silent
from fingerprint.solvers.objective import Box
from fingerprint.solvers.solution import Solution
from fingerprint.spaces.subspace import Subspace

__all__ = ["BoxProjection", "box_projection", "solve_linear"]

_TOLERANCE = 1e-12
_PROBE_STEPS = 60
_LEAST_LENGTH = 0.05
"""Length of δ, relative to the start's, below which the box left no room to be harmless in."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxProjection:
    """Inputs in the box, and how harmless they are.

    Attributes:
        point: Shape ``(B, *shape)``, float64, inside the bounds exactly.
        residual: ``‖(I − P)(point − base)‖ / ‖point − base‖`` of each, shape ``(B,)``; 0 where
            the point is the base.
    """

    point: Tensor
    residual: Tensor


def box_projection(
    space: Subspace,
    base: Tensor,
    target: Tensor,
    *,
    bounds: Box,
    max_steps: int = 500,
    progress: Progress = silent,
) -> BoxProjection:
    """Projects targets on the inputs that a space makes of each base inside the box.

    What comes out depends on the base through its harmful part ``(I − P) base`` alone: bases
    that differ by a harmless perturbation span one set. Only when a row has arrived is judged
    by its distance from the base itself, so that below the tolerance they may differ.

    Args:
        space: The harmless space, with vectors of shape ``shape``.
        base: Inputs x inside the bounds, shape ``(B, *shape)``.
        target: Shape ``(B, *shape)``, not necessarily inside the bounds.
        bounds: Smallest and largest values, of all coordinates or of each.
        max_steps: Projections on the space at most.
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
    for step in range(1, max_steps + 1):
        trial = torch.clamp(target[rows] - ahead, _of(low, rows), _of(high, rows))  # type: ignore[arg-type]
        slope = space.complement(trial) - harmful[rows]
        point[rows] = trial
        residual[rows] = _relative(slope, trial - base[rows])
        keep = residual[rows] > _TOLERANCE
        progress("solving", step, max_steps)
        if not bool(keep.any()):
            break
        new = ahead + slope
        # A step that turns back has overshot: it goes on from there without momentum.
        overshot = ((ahead - new) * (new - dual)).flatten(1).sum(dim=1) > 0
        pace = torch.where(overshot.reshape(pace.shape), 1.0, pace)
        following = (1.0 + (1.0 + 4.0 * pace.square()).sqrt()) / 2.0
        ahead = new + (pace - 1.0) / following * (new - dual)
        rows, dual, ahead, pace = rows[keep], new[keep], ahead[keep], following[keep]
    return BoxProjection(point=point, residual=residual)


def _of(bound: float | Tensor, rows: Tensor) -> float | Tensor:
    return bound[rows] if isinstance(bound, Tensor) else bound


def _relative(slope: Tensor, delta: Tensor) -> Tensor:
    length = delta.flatten(1).norm(dim=1)
    harm = slope.flatten(1).norm(dim=1)
    return torch.where(length > 0, harm / torch.where(length > 0, length, 1.0), harm)


def solve_linear(
    space: Subspace,
    base: Tensor,
    start: Tensor,
    *,
    bounds: Box,
    progress: Progress = silent,
) -> Solution:
    """Finds the harmless perturbation of each base nearest to its start.

    Args:
        space: The harmless space, with vectors of shape ``shape``.
        base: Base inputs x, shape ``(B, *shape)``, float64, inside the bounds.
        start: Inputs to begin from, shape ``(B, *shape)``.
        bounds: Smallest and largest value of any coordinate of ``x + δ``.
        progress: Called after each projection.

    Returns:
        A :class:`Solution` whose δ lies in the space to rounding error and in the box; its
        residual is how far the projection on both still was from the space, relative to δ. It
        converged where the box left room to be harmless in. No network is run, so ``passes`` is
        0.
    """
    low, high = bounds
    near = box_projection(
        space, base, start, bounds=bounds, max_steps=_PROBE_STEPS, progress=progress
    )
    feasible = _shrunk_into_box(base, space.project(near.point - base), low, high)
    wanted = (start.to(base.dtype) - base).flatten(1).norm(dim=1)
    room = feasible.flatten(1).norm(dim=1) > _LEAST_LENGTH * wanted
    return Solution(
        delta=feasible,
        point=torch.clamp(base + feasible, low, high),  # type: ignore[arg-type]
        residual=torch.where(room, near.residual, 1.0),
        converged=room,
        passes=0.0,
    )


def _shrunk_into_box(
    base: Tensor, delta: Tensor, low: float | Tensor, high: float | Tensor
) -> Tensor:
    """Scales each δ by the largest factor up to 1 that keeps ``x + δ`` in the box.

    Scaling stays in the subspace, clipping would not.
    """
    room = torch.where(delta > 0, high - base, base - low)
    size = delta.abs()
    # Coordinates that a scale of 1/1000 of full range cannot move off its face are rounding.
    negligible = size <= 1e-3 * (high - low)
    limit = torch.where(negligible, torch.inf, room / torch.where(negligible, 1.0, size))
    factor = limit.flatten(1).amin(dim=1).clamp(max=1.0)
    return delta * factor.reshape(-1, *[1] * (delta.ndim - 1))
