"""Projected L-BFGS for harmless perturbations of networks with many outputs, inside a box.

Minimises ``½‖g(x+δ) − g(x)‖² / ‖g(x)‖²`` for a batch of probes at once, each with its own
curvature history, step length and outcome. Coordinates on a face of the box whose gradient
points outwards are held; the quasi-Newton direction acts on the others, and trial points are
projected on the box (Bertsekas 1982). It costs one pass a trial and O(memory · n) arithmetic,
all of it in torch, so it spends its time in the network.
"""

from __future__ import annotations

from typing import NamedTuple

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

    Each probe has its own ring: a rejected trial leaves its history as it was. The recursion runs
    on inner products, so that the long vectors are read four times and not once for every pair.
    """

    def __init__(self, like: Tensor) -> None:
        count = len(like)
        self.steps = like.new_zeros(count, _MEMORY, like[0].numel())
        self.changes = torch.zeros_like(self.steps)
        self.inverse = like.new_zeros(count, _MEMORY)
        self.scale = like.new_ones(count)
        self.next = torch.zeros(count, dtype=torch.long, device=like.device)

    def keep(self, chosen: Tensor) -> None:
        """Forgets the other probes; a mask of shape ``(B,)``."""
        self.steps, self.changes = self.steps[chosen], self.changes[chosen]
        self.inverse, self.scale = self.inverse[chosen], self.scale[chosen]
        self.next = self.next[chosen]

    def add(self, accepted: Tensor, step: Tensor, change: Tensor) -> None:
        """Remembers a pair for each accepted probe whose curvature is positive."""
        curvature = (step * change).sum(1)
        size = change.norm(dim=1)
        floor = 1e-10 * step.norm(dim=1) * size
        rows = (accepted & (curvature > floor)).nonzero().flatten()
        slot = self.next[rows]
        self.steps[rows, slot] = step[rows]
        self.changes[rows, slot] = change[rows]
        self.inverse[rows, slot] = 1.0 / curvature[rows]
        # The usual first guess of the inverse Hessian, ``sᵀy / yᵀy``; 1 without history.
        self.scale[rows] = curvature[rows] / size[rows].square()
        self.next[rows] = (slot + 1) % _MEMORY

    def direction(self, gradient: Tensor, held: Tensor) -> Tensor:
        """Returns ``−H g`` on the coordinates that are not held, shape ``(B, n)``."""
        vector = gradient.masked_fill(held, 0.0)
        changes = self.changes.masked_fill(held[:, None], 0.0)
        across = changes.transpose(1, 2)
        of_steps, of_changes = _two_loops(
            _Products(self.steps @ across, (self.steps @ vector[:, :, None])[:, :, 0]),
            _Products(changes @ across, (changes @ vector[:, :, None])[:, :, 0]),
            self.inverse,
            self.scale,
            self.next,
        )
        steps = (of_steps[:, None] @ self.steps)[:, 0].masked_fill(held, 0.0)
        return -(self.scale[:, None] * vector + (of_changes[:, None] @ changes)[:, 0] + steps)


class _Products(NamedTuple):
    """Inner products of each probe's steps, or of its gradient changes.

    Attributes:
        changes: With the gradient changes, shape ``(B, M, M)``.
        vector: With the gradient, shape ``(B, M)``.
    """

    changes: Tensor
    vector: Tensor


def _two_loops(
    steps: _Products, changes: _Products, inverse: Tensor, scale: Tensor, next: Tensor
) -> tuple[Tensor, Tensor]:
    """Runs the recursion (Nocedal 1980) on coefficients.

    Args:
        steps: Products of the steps.
        changes: Products of the gradient changes.
        inverse: ``1 / sᵀy``, shape ``(B, M)``; 0 where a place of the ring is empty.
        scale: First guess of the inverse Hessian, shape ``(B,)``.
        next: Place of the ring that is filled next, shape ``(B,)``.

    Returns:
        What to take of each step and of each change beside ``scale`` times the gradient, two of
        shape ``(B, M)``.
    """
    all = torch.arange(len(next), device=next.device)
    places = [(next - 1 - age) % inverse.shape[1] for age in range(inverse.shape[1])]
    weights, taken = torch.zeros_like(inverse), torch.zeros_like(inverse)
    for at in places:
        along = steps.vector[all, at] - (steps.changes[all, at] * weights).sum(1)
        weights[all, at] = inverse[all, at] * along
    for at in reversed(places):
        along = changes.vector[all, at] - (changes.changes[all, at] * weights).sum(1)
        along = scale * along + (steps.changes[all, :, at] * taken).sum(1)
        taken[all, at] = weights[all, at] - inverse[all, at] * along
    return taken, -scale[:, None] * weights


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
    live = _Live(objective, start)
    point, value = live.point.clone(), live.value.clone()
    goal = 0.5 * tolerance**2
    asked = len(start)
    for trial in range(2, max_passes + 1):
        # A probe that has arrived stays there and is asked no more, whatever its neighbours need.
        live.keep(~(live.value <= goal))
        if len(live.rows) == 0:
            break
        live.advance(objective)
        point[live.rows], value[live.rows] = live.point, live.value
        asked += len(live.rows)
        progress("solving", trial, max_passes)
    residual = (2 * value).sqrt()
    return Solution(
        delta=point - objective.base,
        point=point,
        residual=residual,
        converged=residual <= tolerance,
        passes=asked / len(start),
    )


class _Live:
    """The probes that have not arrived: where each is, and where it tries next.

    Attributes:
        rows: Which probes they are, shape ``(R,)``.
        point: Where they are, shape ``(R, *shape)``.
        value: Their objective there, shape ``(R,)``.
    """

    def __init__(self, objective: Objective, start: Tensor) -> None:
        self.rows = torch.arange(len(start), device=start.device)
        self.point = start.clone()
        self.value, self._gradient = objective.value_and_gradient(start, self.rows)
        self._history = _History(start)
        self._length = _first_length(start, self._gradient)
        self._direction = -self._gradient.flatten(1)

    def keep(self, chosen: Tensor) -> None:
        """Lets go of the others; a mask of shape ``(R,)``."""
        if bool(chosen.all()):
            return
        self.rows, self.point, self.value = (
            self.rows[chosen],
            self.point[chosen],
            self.value[chosen],
        )
        self._gradient, self._direction = self._gradient[chosen], self._direction[chosen]
        self._length = self._length[chosen]
        self._history.keep(chosen)

    def advance(self, objective: Objective) -> None:
        """Tries one point for each, goes there where it is better, and chooses the next."""
        move = (self._length[:, None] * self._direction).reshape(self.point.shape)
        trial = objective.clip(self.point + move, self.rows)
        value, gradient = objective.value_and_gradient(trial, self.rows)
        step = (trial - self.point).flatten(1)
        predicted = (self._gradient.flatten(1) * step).sum(1)
        accept = value <= self.value + _SUFFICIENT_DECREASE * predicted
        accept &= torch.isfinite(value)
        self._history.add(accept, step, (gradient - self._gradient).flatten(1))
        wide = accept.reshape(-1, *[1] * (trial.ndim - 1))
        self.point = torch.where(wide, trial, self.point)
        self._gradient = torch.where(wide, gradient, self._gradient)
        self.value = torch.where(accept, value, self.value)
        down, up = objective.room(self.point, self.rows)
        fresh = _free_direction(self._history, self._gradient.flatten(1), down, up)
        direction = torch.where(accept[:, None], fresh, self._direction)
        length = torch.where(accept, 1.0, self._length * _SHRINK)
        restart = length < _SHORTEST
        downhill = -self._gradient.flatten(1)
        self._direction = torch.where(restart[:, None], downhill, direction)
        self._length = torch.where(restart, _first_length(self.point, self._gradient), length)


def _free_direction(history: _History, gradient: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """The quasi-Newton direction off the held faces; steepest descent where it does not descend."""
    held = ((down <= 0) & (gradient > 0)) | ((up <= 0) & (gradient < 0))
    direction = history.direction(gradient, held)
    descends = (direction * gradient).sum(1) < 0
    return torch.where(descends[:, None], direction, -gradient)


def _first_length(point: Tensor, gradient: Tensor) -> Tensor:
    """A first step that changes the input by about 2 % of full scale per coordinate (RMS)."""
    norm = gradient.flatten(1).norm(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    length: Tensor = 0.02 * float(point[0].numel()) ** 0.5 / norm
    return length
