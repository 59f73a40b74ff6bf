"""Moving starts to where a network and slightly changed copies of it agree.

A perturbation that is harmless for one set of weights is less so after fine-tuning. The
harmless manifold has far more dimensions than the network has outputs, so there is room to ask
more: that copies with noise, rounding or pruning in their weights ignore it as well. The
whole-network solver then starts from such a point and changes it little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fingerprint.progress import Progress, silent
from fingerprint.solvers.lbfgs import projected_lbfgs
from fingerprint.solvers.objective import Objective, centred
from fingerprint.solvers.solution import Solution

__all__ = ["solve_robust"]

_TOLERANCE = 1e-3
_PASSES = 80


def solve_robust(
    networks: Sequence[Callable[[Tensor], Tensor]],
    base: Tensor,
    start: Tensor,
    *,
    bounds: tuple[float, float],
    progress: Progress = silent,
) -> Solution:
    """Solves ``g_k(x+δ) = g_k(x)`` for several networks at once, by projected L-BFGS.

    Args:
        networks: The source and its changed copies, each ``(N, *shape)`` -> ``(N, m)``.
        base: Base inputs x, shape ``(B, *shape)``; its dtype is the working precision.
        start: Inputs to begin from, shape ``(B, *shape)``, inside the bounds.
        bounds: Smallest and largest value of any coordinate of ``x + δ``.
        progress: Called after each pass.

    Returns:
        The solution; its ``passes`` count one for each network.

    Raises:
        NoInformation: The answers to the bases are not finite or tell no classes apart.
    """

    def stacked(x: Tensor) -> Tensor:
        return torch.cat([centred(network(x)) for network in networks], dim=1)

    objective = Objective(stacked, base, bounds)
    with torch.no_grad():
        solution = projected_lbfgs(
            objective,
            objective.clip(start.to(base.dtype)),
            tolerance=_TOLERANCE,
            max_passes=_PASSES,
            progress=progress,
        )
    return replace(solution, passes=solution.passes * len(networks))
