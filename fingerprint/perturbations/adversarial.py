"""The smallest change that misleads: adversarial examples by projected gradients.

found = adversarial(model, inputs, epsilon=8 / 255)
found.delta[found.success]      # the network names another class at inputs + delta

Projected gradient descent (Madry et al. 2018): from a random point of the ball of radius ε around
an input, steps along the gradient of the cross-entropy, each projected on the ball and on the
box of valid inputs. What Theorem 4 then says of such a perturbation is in ``splitting``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from fingerprint.errors import NoInformation, UsageError
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import BATCH, full_precision
from fingerprint.perturbations.objective import differentiable
from fingerprint.progress import Progress, silent

__all__ = ["Adversarial", "Norm", "adversarial"]

Norm = Literal["linf", "l2"]

_STEP = 2.5
"""Madry et al.'s step: this many times ε over the number of steps, so that any point of the ball
can be reached from any other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Adversarial:
    """Adversarial perturbations of a batch of inputs, each with its own outcome.

    Attributes:
        delta: Perturbations, shape ``(B, *input.shape)``; within ε, ``x + delta`` in the box.
        success: Whether the network names the target, or without one any class but ``label``,
            shape ``(B,)``, bool.
        label: Class that was to be left, or that the network named before, shape ``(B,)``.
        label_after: Class it names now, shape ``(B,)``.
        margin: By how much the largest logit that counts as a success exceeds the largest that
            does not, shape ``(B,)``; above zero where there was success.
    """

    delta: Tensor
    success: Tensor
    label: Tensor
    label_after: Tensor
    margin: Tensor


def adversarial(
    model: Model,
    inputs: Tensor,
    *,
    epsilon: float,
    norm: Norm = "linf",
    labels: Tensor | None = None,
    targets: Tensor | None = None,
    steps: int = 40,
    seed: int = 0,
    batch: int = BATCH,
    progress: Progress = silent,
) -> Adversarial:
    """Looks for perturbations of size ε at most that change what the network names.

    Args:
        model: The network; asked in its own precision.
        inputs: Shape ``(B, *model.input.shape)``, inside ``model.input.bounds``.
        epsilon: Largest norm of a perturbation, in the units of the inputs.
        norm: ``linf`` for the largest change of a value, ``l2`` for the Euclidean norm.
        labels: Classes to get away from, int64 ``(B,)``; what the network names if omitted.
        targets: Classes to be named instead, int64 ``(B,)``; any other one if omitted.
        steps: Gradient steps for each input.
        seed: Decides where in the ball the search begins.
        batch: Inputs a pass.
        progress: Called after each step.

    Returns:
        The perturbation of largest margin that was met on the way, in the model's precision.
        Finding none proves nothing: the search is local and begins once.

    Raises:
        UsageError: The shapes differ, inputs are outside the box, or an argument is out of range.
        NoInformation: The answers are not finite.
    """
    classes = model.output.classes
    _check(model, inputs, epsilon, norm, steps)
    generator = torch.Generator().manual_seed(seed)
    parts = []
    with full_precision():
        for begin in range(0, len(inputs), batch):
            chunk = inputs[begin : begin + batch].to(model.device, model.dtype)
            aim = _Aim(
                logits_of(model),
                chunk,
                _part("labels", labels, begin, chunk, classes, len(inputs)),
                _part("targets", targets, begin, chunk, classes, len(inputs)),
            )
            ball = _Ball(chunk, epsilon, norm, model.input.bounds)

            def shown(step: int, begin: int = begin, count: int = len(chunk)) -> None:
                progress("attacking", begin * steps + step * count, len(inputs) * steps)

            parts.append(_descend(aim, ball, steps, generator, shown))
    delta, margin, after, label = (torch.cat(part) for part in zip(*parts, strict=True))
    return Adversarial(
        delta=delta, success=margin > 0, label=label, label_after=after, margin=margin
    )


class _Aim:
    """What is sought, as a loss that rises and a margin that is above zero on success."""

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        base: Tensor,
        labels: Tensor | None,
        targets: Tensor | None,
    ) -> None:
        self.network = network
        with torch.no_grad():
            answers = network(base)
        if not bool(torch.isfinite(answers).all()):
            raise NoInformation("expected finite answers to the inputs, got NaN or infinity")
        self.label = answers.argmax(dim=1) if labels is None else labels
        self.targeted = targets is not None
        self.named = self.label if targets is None else targets

    def gradient(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the answers ``(B, m)`` and the direction in which the loss rises."""
        leaf = point.detach().requires_grad_(True)
        with torch.enable_grad():
            answers = differentiable(self.network(leaf))
            loss = functional.cross_entropy(answers, self.named, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, leaf)
        return answers.detach(), -gradient if self.targeted else gradient

    def margin(self, answers: Tensor) -> Tensor:
        """Returns by how much an answer is a success, shape ``(B,)``."""
        column = self.named[:, None]
        named = answers.gather(1, column).squeeze(1)
        others = answers.scatter(1, column, -torch.inf).amax(dim=1)
        margin: Tensor = named - others if self.targeted else others - named
        return margin


class _Ball:
    """The perturbations that are allowed: of norm ε at most, and inside the box."""

    def __init__(
        self, base: Tensor, epsilon: float, norm: Norm, bounds: tuple[float, float]
    ) -> None:
        self.base = base
        self.epsilon = epsilon
        self.norm = norm
        self.low, self.high = bounds

    def start(self, generator: torch.Generator) -> Tensor:
        """Draws a point of the ball around each input."""
        shape = self.base.shape
        if self.norm == "linf":
            noise = 2.0 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1.0
            delta = self.epsilon * noise
        else:
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            radius = torch.rand(shape[0], generator=generator, dtype=torch.float64)
            delta = self.epsilon * _wide(radius, noise) * _unit(noise)
        return self.project(delta.to(self.base))

    def step(self, delta: Tensor, gradient: Tensor, length: float) -> Tensor:
        """Moves uphill by ``length`` ε in the ball's own norm."""
        uphill = gradient.sign() if self.norm == "linf" else _unit(gradient)
        return self.project(delta + length * self.epsilon * uphill)

    def project(self, delta: Tensor) -> Tensor:
        """Projects on the ball, then on the box, which moves each value towards its input."""
        if self.norm == "linf":
            delta = delta.clamp(-self.epsilon, self.epsilon)
        else:
            length = delta.flatten(1).norm(dim=1).clamp_min(torch.finfo(delta.dtype).tiny)
            delta = delta * _wide((self.epsilon / length).clamp(max=1.0), delta)
        return (self.base + delta).clamp(self.low, self.high) - self.base


def _descend(
    aim: _Aim,
    ball: _Ball,
    steps: int,
    generator: torch.Generator,
    shown: Callable[[int], None],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the best perturbations met, with their margins and classes, and the labels."""
    delta = ball.start(generator)
    answers, uphill = aim.gradient(ball.base + delta)
    best, margin, after = delta, aim.margin(answers), answers.argmax(dim=1)
    for step in range(1, steps + 1):
        delta = ball.step(delta, uphill, _STEP / steps)
        answers, uphill = aim.gradient(ball.base + delta)
        reached = aim.margin(answers)
        better = reached > margin
        best = torch.where(_wide(better, delta), delta, best)
        after = torch.where(better, answers.argmax(dim=1), after)
        margin = torch.where(better, reached, margin)
        shown(step)
    return best, margin, after, aim.label


def _unit(x: Tensor) -> Tensor:
    """Scales each row to length 1; zero, the gradient of a saturated answer, stays zero."""
    length = x.flatten(1).norm(dim=1)
    return x * _wide(torch.where(length > 0, 1.0 / torch.where(length > 0, length, 1.0), 0.0), x)


def _wide(per_input: Tensor, like: Tensor) -> Tensor:
    return per_input.reshape(-1, *[1] * (like.ndim - 1))


def _part(
    name: str, given: Tensor | None, begin: int, chunk: Tensor, classes: int, count: int
) -> Tensor | None:
    """Checks classes and returns those of a chunk."""
    if given is None:
        return None
    if given.shape != (count,) or given.dtype.is_floating_point:
        raise UsageError(
            f"{name}: expected {count} whole numbers, got {given.dtype} {tuple(given.shape)}"
        )
    if bool(((given < 0) | (given >= classes)).any()):
        raise UsageError(f"{name}: expected classes from 0 to {classes - 1}, got {given.tolist()}")
    return given[begin : begin + len(chunk)].to(chunk.device, torch.int64)


def _check(model: Model, inputs: Tensor, epsilon: float, norm: str, steps: int) -> None:
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
    if norm not in ("linf", "l2"):
        raise UsageError(f"norm: expected linf or l2, got {norm!r}")
    if steps < 1:
        raise UsageError(f"steps: expected at least 1, got {steps}")
