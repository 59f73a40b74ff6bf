"""Small changes that mislead: adversarial examples by projected gradients.

found = adversarial(model, inputs, epsilon=8 / 255)
found.delta[found.success]      # the network names another class at inputs + delta

Projected gradient descent (Madry et al. 2018): from a random point of the cube of side 2ε around
an input, steps along the sign of the gradient of the cross-entropy, each projected on the cube
and on the box of valid inputs. What Theorem 4 then says of such a perturbation is in
:mod:`fingerprint.decomposition.splitting`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fingerprint.errors import NoInformation, UsageError
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import BATCH, full_precision
from fingerprint.progress import Progress, silent
from fingerprint.solvers.objective import differentiable

__all__ = ["Adversarial", "adversarial"]

_STEP = 2.5
"""Madry et al.'s step: this many times ε over the number of steps, so that any point of the cube
can be reached from any other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Adversarial:
    """Adversarial perturbations of a batch of inputs, each with its own outcome.

    Attributes:
        delta: Perturbations, shape ``(B, *input.shape)``; no value above ε, ``x + delta`` in the
            box.
        success: Whether the network names another class than before, shape ``(B,)``, bool.
    """

    delta: Tensor
    success: Tensor


def adversarial(
    model: Model,
    inputs: Tensor,
    *,
    epsilon: float,
    steps: int = 40,
    seed: int = 0,
    progress: Progress = silent,
) -> Adversarial:
    """Looks for perturbations that change what the network names, no value by more than ε.

    Args:
        model: The network; asked in its own precision.
        inputs: Shape ``(B, *model.input.shape)``, inside ``model.input.bounds``.
        epsilon: Largest change of a value, in the units of the inputs.
        steps: Gradient steps for each input.
        seed: Decides where in the cube the search begins.
        progress: Called after each step.

    Returns:
        The perturbation that was met on the way and misleads most, in the model's precision.
        Finding none proves nothing: the search is local and begins once.

    Raises:
        UsageError: The shapes differ, inputs are outside the box, or ε is not positive.
        NoInformation: The answers are not finite.
    """
    _check(model, inputs, epsilon)
    generator = torch.Generator().manual_seed(seed)
    deltas, margins = [], []
    with full_precision():
        for begin in range(0, len(inputs), BATCH):
            base = inputs[begin : begin + BATCH].to(model.device, model.dtype)

            def shown(step: int, begin: int = begin, count: int = len(base)) -> None:
                progress("attacking", begin * steps + step * count, len(inputs) * steps)

            delta, margin = _ascended(model, base, epsilon, steps, generator, shown)
            deltas.append(delta)
            margins.append(margin)
    return Adversarial(delta=torch.cat(deltas), success=torch.cat(margins) > 0)


def _ascended(
    model: Model,
    base: Tensor,
    epsilon: float,
    steps: int,
    generator: torch.Generator,
    shown: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """Returns the best perturbations met, and by how much another class is ahead, ``(B,)``."""
    low, high = model.input.bounds
    network = logits_of(model)
    with torch.no_grad():
        answers = network(base)
    if not bool(torch.isfinite(answers).all()):
        raise NoInformation("expected finite answers to the inputs, got NaN or infinity")
    label = answers.argmax(dim=1)

    def projected(delta: Tensor) -> Tensor:
        return (base + delta.clamp(-epsilon, epsilon)).clamp(low, high) - base

    noise = 2.0 * torch.rand(base.shape, generator=generator, dtype=torch.float64) - 1.0
    delta = projected((epsilon * noise).to(base))
    best = delta
    margin = base.new_full((len(base),), -torch.inf)
    for step in range(steps + 1):
        leaf = (base + delta).requires_grad_(True)
        with torch.enable_grad():
            answers = differentiable(network(leaf))
            loss = functional.cross_entropy(answers, label, reduction="sum")
            (uphill,) = torch.autograd.grad(loss, leaf)
        reached = _margin(answers.detach(), label)
        better = reached > margin
        best = torch.where(better.reshape(-1, *[1] * (base.ndim - 1)), delta, best)
        margin = torch.where(better, reached, margin)
        delta = projected(delta + _STEP / steps * epsilon * uphill.sign())
        if step:
            shown(step)
    return best, margin


def _margin(answers: Tensor, label: Tensor) -> Tensor:
    """Returns by how much the largest other logit exceeds the label's, shape ``(B,)``."""
    column = label[:, None]
    others = answers.scatter(1, column, -torch.inf).amax(dim=1)
    margin: Tensor = others - answers.gather(1, column).squeeze(1)
    return margin


def _check(model: Model, inputs: Tensor, epsilon: float) -> None:
    if tuple(inputs.shape[1:]) != model.input.shape or len(inputs) == 0:
        raise UsageError(
            f"adversarial: expected a batch of inputs {model.input.shape}, "
            f"got {tuple(inputs.shape)}"
        )
    low, high = model.input.bounds
    if not bool(((inputs >= low) & (inputs <= high)).all()):
        raise UsageError(f"adversarial: expected inputs from {low:g} to {high:g}")
    if not 0.0 < epsilon < float("inf"):
        raise UsageError(f"epsilon: expected a positive number, got {epsilon}")
