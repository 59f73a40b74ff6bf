"""Which harmless perturbation of a whole network lies nearest to a given perturbation?

    solution = nearest_harmless(network, base, delta, bounds=(0.0, 1.0))
    harmful = delta - solution.delta

In a linear harmless space that is a projection. On the curved manifold ``g(x + δ_a) = g(x)`` it
is a minimum of ``‖δ_a − δ‖``, sought by steps that project δ on the manifold as it looks like from
where they are, and it may be a local one. Networks with many outputs allow no Jacobian: theirs is
the nearest of what the solver finds from δ, δ/2 and δ/4, and may be far from the minimum.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fingerprint.progress import Progress, silent
from fingerprint.solvers.gauss_newton import bounded_step
from fingerprint.solvers.network import choose_method, solve_network
from fingerprint.solvers.objective import Objective
from fingerprint.solvers.solution import Solution

__all__ = ["nearest_harmless"]

_RAY = (1.0, 0.5, 0.25)
"""Where on the way from x to x + δ the solver begins: a start near x ends nearer to it."""

_STEPS = 20
_LENGTH = 0.5  # of a step: whole ones overshoot where the manifold is curved


def nearest_harmless(
    network: Callable[[Tensor], Tensor],
    base: Tensor,
    delta: Tensor,
    *,
    bounds: tuple[float, float],
    progress: Progress = silent,
) -> Solution:
    """Finds harmless perturbations near given ones.

    Args:
        network: Maps ``(N, *shape)`` to logits ``(N, m)``; differentiable almost everywhere.
        base: Base inputs x, shape ``(B, *shape)``; its dtype is the working precision.
        delta: Perturbations, same shape, ``x + delta`` inside the bounds.
        bounds: Smallest and largest value of any coordinate of ``x + δ``.
        progress: Called as the work goes on.

    Returns:
        For each perturbation the nearest of the harmless ones that were found; where none met the
        solver's tolerance, the most harmless one, which says that it did not converge.

    Raises:
        NoInformation: The answers to the bases are not finite or tell no classes apart.
    """
    objective = Objective(network, base, bounds)
    starts = [objective.clip(base + share * delta) for share in _RAY]
    passes = 0.0
    if choose_method(objective.target.shape[1], base[0].numel()) == "gauss-newton":
        with torch.no_grad():
            starts = [_projected(objective, starts[1], delta, progress), starts[1]]
        passes = float(_STEPS * (objective.target.shape[1] + 1))
    found = [
        solve_network(network, base, start, bounds=bounds, progress=progress) for start in starts
    ]
    return _nearest(found, delta, passes)


def _projected(objective: Objective, point: Tensor, delta: Tensor, progress: Progress) -> Tensor:
    """Moves towards ``x + δ`` within the tangent of the manifold, and back onto it."""
    rows = torch.arange(len(point), device=point.device)
    for step in range(1, _STEPS + 1):
        residual, jacobian = objective.jacobian(point, rows)
        wanted = (objective.base + delta - point).flatten(1)
        # The smallest change of the wanted move that meets the linearised equation.
        missed = residual + torch.einsum("bmn,bn->bm", jacobian, wanted)
        down, up = objective.room(point)
        move = wanted + bounded_step(jacobian, missed, down + wanted, up - wanted)
        point = objective.clip(point + _LENGTH * move.reshape(point.shape))
        progress("approaching", step, _STEPS)
    return point


def _nearest(found: list[Solution], delta: Tensor, passes: float) -> Solution:
    """Chooses for each perturbation among the solutions, the converged ones first."""
    distances = torch.stack([(one.delta - delta).flatten(1).norm(dim=1) for one in found])
    converged = torch.stack([one.converged for one in found])
    residuals = torch.stack([one.residual for one in found])
    rank = torch.where(converged, distances, torch.inf)
    chosen = torch.where(converged.any(dim=0), rank.argmin(dim=0), residuals.argmin(dim=0))
    rows = torch.arange(len(delta), device=delta.device)
    return Solution(
        delta=torch.stack([one.delta for one in found])[chosen, rows],
        point=torch.stack([one.point for one in found])[chosen, rows],
        residual=residuals[chosen, rows],
        converged=converged[chosen, rows],
        passes=passes + sum(one.passes for one in found),
    )
