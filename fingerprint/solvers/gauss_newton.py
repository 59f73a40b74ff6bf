"""Gauss-Newton for harmless perturbations of networks with few outputs, inside a box.

At each step the smallest update is found that cancels the linearised residual and stays in the
box. Its closed form without a box is ``d = −Jᵀ (J Jᵀ)⁻¹ r``; coordinates that would leave the
box are pinned to its face and the rest solved again (a primal active set), because clipping
after the fact destroys what was solved.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.progress import Progress, silent
from fingerprint.solvers.objective import Objective
from fingerprint.solvers.solution import Solution

__all__ = ["gauss_newton"]

_MAX_STEPS = 40
_PIN_ROUNDS = 12
_HALVINGS = 8
_RELATIVE_DAMPING = 1e-10


def gauss_newton(
    objective: Objective,
    start: Tensor,
    *,
    tolerance: float,
    progress: Progress = silent,
) -> Solution:
    """Finds δ near ``start`` with ``g(x+δ) = g(x)`` and ``x+δ`` inside the box.

    Args:
        objective: The network, the base inputs and the box.
        start: Inputs ``x + r`` to begin from, shape ``(B, *shape)``, inside the box.
        tolerance: Relative residual at which a probe counts as converged.
        progress: Called after each step, which costs ``m + 1`` passes and its line search.

    Returns:
        A :class:`Solution` in the precision of ``start``.
    """
    point = start.clone()
    residual = objective.residual(point)
    passes = 1.0
    active = residual.norm(dim=1) > tolerance
    for steps in range(1, _MAX_STEPS + 1):
        if not bool(active.any()):
            break
        rows = active.nonzero().flatten()
        found, jacobian = objective.jacobian(point[rows], rows)
        passes += (jacobian.shape[1] + 1) * len(rows) / len(start)
        direction = bounded_step(jacobian, found, *objective.room(point[rows], rows))
        improved, trials = _line_search(objective, point, residual, rows, direction)
        passes += trials
        progress("solving", steps, _MAX_STEPS)
        active = residual.norm(dim=1) > tolerance
        stalled = torch.zeros_like(active)
        stalled[rows] = ~improved
        active &= ~stalled
    norm = residual.norm(dim=1)
    return Solution(
        delta=point - objective.base,
        point=point,
        residual=norm,
        converged=norm <= tolerance,
        passes=passes,
    )


def bounded_step(jacobian: Tensor, residual: Tensor, room_down: Tensor, room_up: Tensor) -> Tensor:
    """Returns the near-smallest d with ``J d = −r`` and ``−room_down <= d <= room_up``.

    Args:
        jacobian: Shape ``(B, m, n)``.
        residual: Shape ``(B, m)``.
        room_down: How far each coordinate may fall, shape ``(B, n)``, not negative.
        room_up: How far each coordinate may rise, shape ``(B, n)``, not negative.

    Returns:
        Steps of shape ``(B, n)`` inside the box. Where it leaves no exact solution they lower
        the residual without being optimal: pinned coordinates are not released again, and the
        next Gauss-Newton step starts afresh.
    """
    step = torch.zeros_like(room_up)
    free = torch.ones_like(room_up, dtype=torch.bool)
    eye = torch.eye(jacobian.shape[1], dtype=jacobian.dtype, device=jacobian.device)
    for _ in range(_PIN_ROUNDS):
        pinned = torch.where(free, 0.0, step)
        target = residual + torch.einsum("bmn,bn->bm", jacobian, pinned)
        masked = jacobian * free[:, None, :]
        gram = masked @ masked.transpose(1, 2)
        # The centred answers leave the Gram matrix singular, and a dead region leaves it zero.
        scale = gram.diagonal(dim1=1, dim2=2).mean(1)
        scale = torch.where(scale > 0, scale, 1.0)
        damping = max(_RELATIVE_DAMPING, 8 * torch.finfo(gram.dtype).eps)
        gram = gram + (damping * scale)[:, None, None] * eye
        weights = torch.linalg.solve(gram, -target)
        moved = torch.einsum("bmn,bm->bn", masked, weights)
        clipped = torch.minimum(torch.maximum(moved, -room_down), room_up)
        step = torch.where(free, clipped, step)
        crossing = free & (clipped != moved)
        if not bool(crossing.any()):
            break
        free &= ~crossing
    return step


def _line_search(
    objective: Objective, point: Tensor, residual: Tensor, rows: Tensor, direction: Tensor
) -> tuple[Tensor, float]:
    """Halves the step of each probe until its residual falls; updates both in place.

    Returns:
        Which of ``rows`` improved, shape ``(len(rows),)``, and the passes spent per probe.
    """
    pending = torch.ones(len(rows), dtype=torch.bool, device=point.device)
    before = residual.norm(dim=1)[rows]
    direction = direction.reshape(len(rows), *point.shape[1:])
    length, trials = 1.0, 0.0
    for _ in range(_HALVINGS):
        chosen = pending.nonzero().flatten()
        if len(chosen) == 0:
            break
        trial = objective.clip(point[rows[chosen]] + length * direction[chosen], rows[chosen])
        reached = objective.residual(trial, rows[chosen])
        trials += len(chosen) / len(point)
        better = reached.norm(dim=1) < (1 - 1e-4 * length) * before[chosen]
        accepted = chosen[better]
        point[rows[accepted]] = trial[better]
        residual[rows[accepted]] = reached[better]
        pending[accepted] = False
        length /= 2
    return ~pending, trials
