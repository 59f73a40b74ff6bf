"""Harmless perturbations of the first affine segment, inside the box of valid inputs.

    solution = solve_linear(space, base, start, bounds=(0.0, 1.0))

Any δ in the null space is harmless for every input (Theorem 1), but ``x + δ`` must also be an
input one can send. The two sets are convex, a subspace and a box, and Dykstra's alternating
projections (Boyle and Dykstra 1986) converge to the point of their intersection nearest to the
start, so the probe keeps as much of the committed noise as harmlessness and the box allow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.perturbations.solution import Solution
from fingerprint.progress import Progress, silent
from fingerprint.spaces.subspace import Subspace

__all__ = ["solve_linear"]

_LEAST_LENGTH = 0.05
"""Length of δ, relative to the start's, below which the box left no room to be harmless in."""


def solve_linear(
    space: Subspace,
    base: Tensor,
    start: Tensor,
    *,
    bounds: tuple[float, float],
    sweeps: int = 60,
    progress: Progress = silent,
) -> Solution:
    """Finds the harmless perturbation of each base nearest to its start.

    Args:
        space: The harmless space, with vectors of shape ``shape``.
        base: Base inputs x, shape ``(B, *shape)``, float64, inside the bounds.
        start: Inputs to begin from, shape ``(B, *shape)``.
        bounds: Smallest and largest value of any coordinate of ``x + δ``.
        sweeps: Alternating projections at most.
        progress: Called after each sweep.

    Returns:
        A :class:`Solution` whose δ lies in the space to rounding error and in the box; its
        residual is how far the last box projection still was from the space, relative to δ. No
        network is run, so ``passes`` is 0.
    """
    low, high = bounds
    delta = start.to(base.dtype) - base
    correction = torch.zeros_like(delta)
    for sweep in range(1, sweeps + 1):
        inside = space.project(delta)
        boxed = (base + inside + correction).clamp(low, high) - base
        correction = inside + correction - boxed
        delta = boxed
        progress("solving", sweep, sweeps)
    inside = space.project(delta)
    feasible = _shrunk_into_box(base, inside, low, high)
    length = inside.flatten(1).norm(dim=1)
    gap = (delta - inside).flatten(1).norm(dim=1)
    wanted = (start.to(base.dtype) - base).flatten(1).norm(dim=1)
    room = feasible.flatten(1).norm(dim=1) > _LEAST_LENGTH * wanted
    return Solution(
        delta=feasible,
        point=(base + feasible).clamp(low, high),
        residual=torch.where(room, gap / torch.where(room, length, 1.0), 1.0),
        converged=room,
        method="projection",
        passes=0.0,
    )


def _shrunk_into_box(base: Tensor, delta: Tensor, low: float, high: float) -> Tensor:
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
