"""What a solver returns: the perturbation, how exact it is, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Solution"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Perturbations of a batch of inputs, solved together, each with its own outcome.

    Attributes:
        delta: Perturbations, shape ``(B, *input.shape)``; ``x + delta`` lies inside the box.
        point: The inputs ``x + delta`` as the solver left them, inside the box exactly. Adding
            delta to x again would round, and leave traces of x in the last digits.
        residual: ``‖g(x+δ) − g(x)‖ / ‖g(x)‖`` for each, shape ``(B,)``, where g is the answer
            with its mean over classes subtracted (softmax is blind to that mean, Lemma 1.3).
        converged: Whether the residual met the tolerance, shape ``(B,)``, bool.
        passes: Forward-and-backward passes spent on each probe, the machine-independent cost.
    """

    delta: Tensor
    point: Tensor
    residual: Tensor
    converged: Tensor
    passes: float
