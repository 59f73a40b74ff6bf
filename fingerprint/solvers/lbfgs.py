"""Projected L-BFGS for harmless perturbations of networks with many outputs, inside a box.

Minimises ``½‖g(x+δ) − g(x)‖² / ‖g(x)‖²`` for a batch of probes at once, each with its own
curvature history, step length and outcome. Coordinates on a face of the box whose gradient
points outwards are held; the quasi-Newton direction acts on the others, and trial points are
projected on the box (Bertsekas 1982). It costs one pass a trial and O(memory · n) arithmetic,
all of it in torch, so it spends its time in the network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.progress import Progress, silent
from fingerprint.solvers.objective import Objective
from fingerprint.solvers.solution import Solution

__all__ = ["projected_lbfgs"]

_MEMORY = 12
"""Pairs of the quasi-Newton history."""

_SUFFICIENT_DECREASE = 1e-4
_SHRINK = 0.4
_SHORTEST = 1e-6


class _History:
    """The last few steps and gradient changes of every probe, and the two-loop recursion.

    Each probe has its own ring: a rejected trial leaves its history as it was.
    """

    def __init__(self, like: Tensor) -> None:
        count = len(like)
        self.steps = like.new_zeros(_MEMORY, count, like[0].numel())
        self.changes = torch.zeros_like(self.steps)
        self.inverse = like.new_zeros(_MEMORY, count)
        self.next = torch.zeros(count, dtype=torch.long, device=like.device)
        self.all = torch.arange(count, device=like.device)

    def add(self, accepted: Tensor, step: Tensor, change: Tensor) -> None:
        """Remembers a pair for each accepted probe whose curvature is positive."""
        curvature = (step * change).sum(1)
        floor = 1e-10 * step.norm(dim=1) * change.norm(dim=1)
        rows = (accepted & (curvature > floor)).nonzero().flatten()
        slot = self.next[rows]
        self.steps[slot, rows] = step[rows]
        self.changes[slot, rows] = change[rows]
        self.inverse[slot, rows] = 1.0 / curvature[rows]
        self.next[rows] = (slot + 1) % len(self.steps)

    def direction(self, gradient: Tensor, held: Tensor) -> Tensor:
        """Returns ``−H g`` on the coordinates that are not held, shape ``(B, n)``."""
        vector = gradient.masked_fill(held, 0.0)
        newest_first = [(self.next - 1 - age) % len(self.steps) for age in range(len(self.steps))]
        weights: list[Tensor] = []
        for slot in newest_first:
            weight = self.inverse[slot, self.all] * (self.steps[slot, self.all] * vector).sum(1)
            vector = vector - weight[:, None] * self.changes[slot, self.all].masked_fill(held, 0.0)
            weights.append(weight)
        vector = vector * self._scale(newest_first[0])[:, None]
        for slot, weight in zip(reversed(newest_first), reversed(weights), strict=True):
            beta = self.inverse[slot, self.all] * (self.changes[slot, self.all] * vector).sum(1)
            step = self.steps[slot, self.all].masked_fill(held, 0.0)
            vector = vector + (weight - beta)[:, None] * step
        return -vector

    def _scale(self, slot: Tensor) -> Tensor:
        """The usual first guess of the inverse Hessian, ``sᵀy / yᵀy``; 1 without history."""
        inverse = self.inverse[slot, self.all]
        length = self.changes[slot, self.all].square().sum(1)
        usable = inverse > 0
        scaled = inverse * length
        return torch.where(usable, 1.0 / torch.where(usable, scaled, 1.0), 1.0)


def projected_lbfgs(
    objective: Objective,
    start: Tensor,
    *,
    tolerance: float,
    max_passes: int,
    progress: Progress = silent,
) -> Solution:
    """Finds δ near ``start`` with a small relative residual and ``x+δ`` inside the box.

    Args:
        objective: The network, the base inputs and the box.
        start: Inputs ``x + r`` to begin from, shape ``(B, *shape)``, inside the box.
        tolerance: Relative residual at which a probe counts as converged.
        max_passes: Forward-and-backward passes at most, for each probe.
        progress: Called after each pass.

    Returns:
        A :class:`Solution` in the precision of ``start``.
    """
    rows = torch.arange(len(start), device=start.device)
    point = start.clone()
    value, gradient = objective.value_and_gradient(point, rows)
    history = _History(point)
    length = _first_length(point, gradient)
    direction = -gradient.flatten(1)
    goal = 0.5 * tolerance**2
    passes = 1
    for passes in range(2, max_passes + 1):
        trial = objective.clip(point + (length[:, None] * direction).reshape(point.shape))
        trial_value, trial_gradient = objective.value_and_gradient(trial, rows)
        step = (trial - point).flatten(1)
        predicted = (gradient.flatten(1) * step).sum(1)
        accept = trial_value <= value + _SUFFICIENT_DECREASE * predicted
        # A probe that has arrived stays, so that its result does not depend on its neighbours.
        accept &= torch.isfinite(trial_value) & (value > goal)
        change = (trial_gradient - gradient).flatten(1)
        keep = accept[:, None]
        history.add(accept, step, change)
        wide = accept.reshape(-1, *[1] * (point.ndim - 1))
        point = torch.where(wide, trial, point)
        gradient = torch.where(wide, trial_gradient, gradient)
        value = torch.where(accept, trial_value, value)
        progress("solving", passes, max_passes)
        if bool((value <= goal).all()):
            break
        fresh = _free_direction(objective, history, point, gradient)
        direction = torch.where(keep, fresh, direction)
        length = torch.where(accept, 1.0, length * _SHRINK)
        restart = length < _SHORTEST
        direction = torch.where(restart[:, None], -gradient.flatten(1), direction)
        length = torch.where(restart, _first_length(point, gradient), length)
    residual = (2 * value).sqrt()
    return Solution(
        delta=point - objective.base,
        point=point,
        residual=residual,
        converged=residual <= tolerance,
        passes=float(passes),
    )


def _free_direction(
    objective: Objective, history: _History, point: Tensor, gradient: Tensor
) -> Tensor:
    """The quasi-Newton direction off the held faces; steepest descent where it does not descend."""
    flat = gradient.flatten(1)
    down, up = objective.room(point)
    held = ((down <= 0) & (flat > 0)) | ((up <= 0) & (flat < 0))
    direction = history.direction(flat, held)
    descends = (direction * flat).sum(1) < 0
    return torch.where(descends[:, None], direction, -flat)


def _first_length(point: Tensor, gradient: Tensor) -> Tensor:
    """A first step that changes the input by about 2 % of full scale per coordinate (RMS)."""
    norm = gradient.flatten(1).norm(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    length: Tensor = 0.02 * float(point[0].numel()) ** 0.5 / norm
    return length
