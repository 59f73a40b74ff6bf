"""The equation every whole-network solver works on: ``g(x + δ) = g(x)`` inside a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fingerprint.errors import IncompatibleModel, NoInformation
from fingerprint.precision import rounding
from fingerprint.text import first_line

__all__ = ["Box", "Objective", "centred", "differentiable"]

Box = tuple[float, float] | tuple[Tensor, Tensor]
"""Smallest and largest values, of all coordinates or of each."""


def centred(answers: Tensor) -> Tensor:
    """Subtracts the mean over classes: the part of logits that softmax can see (Lemma 1.3)."""
    seen: Tensor = answers - answers.mean(dim=-1, keepdim=True)
    return seen


def differentiable(answers: Tensor) -> Tensor:
    """Returns answers to an input that wants a gradient, if they can give one.

    Raises:
        IncompatibleModel: The network turns its input into indices, say, or into numpy arrays.
    """
    if not answers.requires_grad:
        raise IncompatibleModel(
            "expected answers that can be differentiated by the input, got none: the network "
            "rounds, indexes or detaches it; give the part of the network behind that, or register "
            "it with --answers-only"
        )
    return answers


class Objective:
    """The relative residual ``(g(x+δ) − g(x)) / ‖g(x)‖`` of a batch of bases.

    Args:
        network: Maps ``(N, *shape)`` to ``(N, m)``.
        base: Base inputs x, shape ``(B, *shape)``.
        bounds: Smallest and largest value of the coordinates of ``x + δ``, numbers or tensors of
            shape ``(B, *shape)``.
        aim: Answers to solve for instead of those to the bases, shape ``(B, m)``.

    Raises:
        NoInformation: The network's answers to the bases are not finite, or one of them holds the
            same for every class but for rounding.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        base: Tensor,
        bounds: Box,
        *,
        aim: Tensor | None = None,
    ) -> None:
        self.network = network
        self.base = base
        self.box = bounds
        self.low: Any = bounds[0]
        self.high: Any = bounds[1]
        with torch.no_grad():
            answers = network(base) if aim is None else aim
        self.target = centred(answers)
        self.scale = _norm(self.target)
        least = rounding(float(answers.abs().max()), answers.dtype)
        if not bool(torch.isfinite(self.target).all()):
            raise NoInformation("expected finite answers to the base inputs, got NaN or infinity")
        if bool((self.target.abs().amax(dim=1) <= least).any()):
            raise NoInformation("expected answers that tell classes apart, got equal values")

    def clip(self, point: Tensor, rows: Tensor | None = None) -> Tensor:
        """Projects inputs on the box; ``rows`` says whose they are, all of them if omitted."""
        return torch.clamp(point, *self._bounds(rows))

    def room(self, point: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """How far each coordinate may fall and rise, two tensors of shape ``(R, n)``."""
        low, high = self._bounds(rows)
        return (point - low).flatten(1), (high - point).flatten(1)

    def residual(self, point: Tensor, rows: Tensor | None = None) -> Tensor:
        """Relative residuals at inputs of shape ``(R, *shape)``; returns shape ``(R, m)``."""
        with torch.no_grad():
            return self._relative(self.network(point), rows)

    def jacobian(self, point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Relative residuals ``(R, m)`` and their Jacobians ``(R, m, n)``, by m backward passes."""
        leaf = point.detach().requires_grad_(True)
        with torch.enable_grad():
            residual = self._relative(differentiable(self.network(leaf)), rows)
            count = residual.shape[1]
            slices = [
                _gradient(residual[:, k].sum(), leaf, retained=k < count - 1) for k in range(count)
            ]
        return residual.detach(), torch.stack([part.flatten(1) for part in slices], dim=1)

    def value_and_gradient(self, point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """``½‖residual‖²`` of shape ``(R,)`` and its gradient of shape ``(R, *shape)``."""
        leaf = point.detach().requires_grad_(True)
        with torch.enable_grad():
            residual = self._relative(differentiable(self.network(leaf)), rows)
            value = 0.5 * residual.square().sum(dim=1)
            gradient = _gradient(value.sum(), leaf)
        return value.detach(), gradient

    def _bounds(self, rows: Tensor | None) -> tuple[Any, Any]:
        if rows is None or not isinstance(self.low, Tensor):
            return self.low, self.high
        return self.low[rows], self.high[rows]

    def _relative(self, answers: Tensor, rows: Tensor | None) -> Tensor:
        target, scale = self.target, self.scale
        if rows is not None:
            target, scale = target[rows], scale[rows]
        relative: Tensor = (centred(answers) - target) / scale
        return relative


def _gradient(value: Tensor, leaf: Tensor, *, retained: bool = False) -> Tensor:
    """Goes back through the network, whose code may have its own idea of that way.

    Raises:
        IncompatibleModel: It fails, as re-entrant checkpoints do.
    """
    try:
        (gradient,) = torch.autograd.grad(value, leaf, retain_graph=retained)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise IncompatibleModel(
            "expected answers that can be differentiated by the input, the network's way back "
            f"fails: {first_line(error)}; change that, or register it with --answers-only"
        ) from error
    return gradient


def _norm(rows: Tensor) -> Tensor:
    """Norms of shape ``(B, 1)``; squares of numbers below 1e-23 or above 1e19 are no float32."""
    _, power = torch.frexp(rows.abs().amax(dim=1, keepdim=True))
    return torch.ldexp(torch.ldexp(rows, -power).norm(dim=1, keepdim=True), power)
