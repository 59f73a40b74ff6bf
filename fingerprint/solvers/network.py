"""Harmless perturbations of a whole network: one entry for every size of output.

    solution = solve_network(model, base, start, bounds=(0.0, 1.0))

With n inputs and m outputs, m far below n, the perturbations with ``f(x+δ) = f(x)`` form a
manifold of dimension n − m near almost every point (Lemma 1, pushed through all layers at
once). Few outputs are solved by Gauss-Newton in float64, to rounding error; where it is caught
between the box and a bend of the manifold, L-BFGS leads it to where it converges. Many outputs
are solved by projected L-BFGS in the network's own precision, because the Jacobian is then
ill-conditioned and dear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from fingerprint.progress import Progress, silent
from fingerprint.solvers.gauss_newton import gauss_newton
from fingerprint.solvers.lbfgs import projected_lbfgs
from fingerprint.solvers.objective import Objective
from fingerprint.solvers.solution import Solution

__all__ = ["choose_method", "solve_network"]

Method = Literal["gauss-newton", "l-bfgs"]

_FEW_OUTPUTS = 32
_JACOBIAN_ENTRIES = 2**22
_GAUSS_NEWTON_TOLERANCE = 1e-8
_LBFGS_TOLERANCE = 1e-2
_PASSES = 150
"""Of L-BFGS at most for each probe; twice as many to lead Gauss-Newton."""
_APPROACH = 1e-3
"""Relative residual from which Gauss-Newton finds the rest of the way."""


def choose_method(outputs: int, inputs: int) -> Method:
    """Gauss-Newton while a probe's Jacobian is small (32 MiB in float64), else L-BFGS."""
    small = outputs <= _FEW_OUTPUTS and outputs * inputs <= _JACOBIAN_ENTRIES
    return "gauss-newton" if small else "l-bfgs"


def solve_network(
    network: Callable[[Tensor], Tensor],
    base: Tensor,
    start: Tensor,
    *,
    bounds: tuple[float, float],
    tolerance: float | None = None,
    progress: Progress = silent,
) -> Solution:
    """Solves ``g(x+δ) = g(x)`` for a batch of probes, each near its own start.

    Args:
        network: Maps ``(N, *shape)`` to logits ``(N, m)``; differentiable almost everywhere.
        base: Base inputs x, shape ``(B, *shape)``; its dtype is the working precision.
        start: Inputs to begin from, shape ``(B, *shape)``, inside the bounds.
        bounds: Smallest and largest value of any coordinate of ``x + δ``.
        tolerance: Relative residual that counts as converged; 1e-8 for Gauss-Newton, 1e-2 for
            L-BFGS, whose probes are rounded to 8 bits anyway.
        progress: Called as the work goes on.

    Returns:
        The solutions; probes that did not converge say so.

    Raises:
        NoInformation: The answers to the bases are not finite or tell no classes apart.
    """
    objective = Objective(network, base, bounds)
    start = objective.clip(start.to(base.dtype))
    with torch.no_grad():
        if choose_method(objective.target.shape[1], base[0].numel()) == "gauss-newton":
            goal = _GAUSS_NEWTON_TOLERANCE if tolerance is None else tolerance
            solution = gauss_newton(objective, start, tolerance=goal, progress=progress)
            return _led(objective, start, solution, goal, progress)
        return projected_lbfgs(
            objective,
            start,
            tolerance=_LBFGS_TOLERANCE if tolerance is None else tolerance,
            max_passes=_PASSES,
            progress=progress,
        )


def _led(
    objective: Objective, start: Tensor, solution: Solution, tolerance: float, progress: Progress
) -> Solution:
    """Solves again what Gauss-Newton was caught on: from where L-BFGS brings the same starts.

    What is merely as exact as the precision allows is left as it is.
    """
    rows = (~(solution.residual <= max(tolerance, _APPROACH))).nonzero().flatten()
    if len(rows) == 0:
        return solution
    stuck = Objective(objective.network, objective.base[rows], objective.box)
    near = projected_lbfgs(
        stuck, start[rows], tolerance=_APPROACH, max_passes=2 * _PASSES, progress=progress
    )
    found = gauss_newton(stuck, near.point, tolerance=tolerance, progress=progress)
    better = found.residual < solution.residual[rows]
    point, residual = solution.point.clone(), solution.residual.clone()
    point[rows[better]] = found.point[better]
    residual[rows[better]] = found.residual[better]
    return Solution(
        delta=point - objective.base,
        point=point,
        residual=residual,
        converged=residual <= tolerance,
        passes=solution.passes + (near.passes + found.passes) * len(rows) / len(start),
    )
