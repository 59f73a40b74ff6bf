"""IPGuard: labels of points that were moved next to the source's decision boundary.

Cao, Jia and Gong, "IPGuard: Protecting Intellectual Property of Deep Neural Networks via
Fingerprinting the Classification Boundary", AsiaCCS 2021. For a training image named ``i`` by
the source and a target label ``j``, a point ``x`` is sought that minimises

    relu(Z_i(x) - Z_j(x) + k) + relu(max over t other than i, j of Z_t(x) - Z_i(x)):

label ``j`` wins by ``k`` logits, ``i`` comes second. ``k`` trades robustness to changes of
the network against uniqueness. A suspect is scored by the matching rate of its labels with
the source's.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.detection.methods.akh import label_agreement
from benchmarks.detection.methods.base import LabelledImages, QueryMethod, eight_bit
from fingerprint.lab.training import pixels

__all__ = ["IpGuard", "boundary_loss"]


class IpGuard(QueryMethod):
    """Matching rate of labels near the source's decision boundary.

    Training images are the starts and the least likely labels the targets, moved by Adam, with
    ``k`` as the paper has it for CIFAR-10. The learning rate is larger than the paper's 1e-3,
    in the method's favour: on CIFAR-10 ResNets, points found in small steps did not survive a
    fine-tune at 1e-2; those found in large steps mostly did, while fewer than that carried
    over to independent networks. Suspects with another number of classes get no answer.

    Args:
        k: The margin, in logits, by which the target label is to win.
        steps: Largest number of Adam steps; a point stops once its loss is zero.
        lr: Adam's learning rate, in units of the pixel range.
    """

    name = "IPGuard"

    def __init__(self, *, k: float = 10.0, steps: int = 100, lr: float = 4e-2) -> None:
        self.k = k
        self.steps = steps
        self.lr = lr

    def choose(
        self, network: nn.Module, data: LabelledImages, count: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], str]:
        """Returns optimised training images, those that reached a loss of zero first."""
        drawn = generator.choice(len(data.train_images), count, replace=False)
        points, done = self._optimise(network, pixels(data.train_images[drawn]))
        order = torch.argsort(~done, stable=True)
        note = "" if bool(done.all()) else f"{int(done.sum())} of {count} reached the boundary"
        return eight_bit(points[order]), note

    def compare(self, source: Tensor, suspect: Tensor) -> float | None:
        """Returns the matching rate of labels, None for other label spaces."""
        return label_agreement(source, suspect)

    def _optimise(self, network: nn.Module, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Moves points ``(N, C, H, W)``; returns them and which reached zero loss, ``(N,)``.

        Adam's moments are kept by hand, point by point: finished points leave the batch, which
        is what makes this affordable.
        """
        with torch.no_grad():
            logits = network(starts)
        first, target = logits.argmax(dim=1), logits.argmin(dim=1)
        points, done = starts.clone(), torch.zeros(len(starts), dtype=torch.bool)
        mean, square = torch.zeros_like(points), torch.zeros_like(points)
        for step in range(1, self.steps + 1):
            active = torch.nonzero(~done).flatten()
            x = points[active].requires_grad_()
            loss = boundary_loss(network(x), first[active], target[active], self.k)
            done[active] = loss.detach() == 0
            if bool(done.all()):
                break
            (gradient,) = torch.autograd.grad(loss.sum(), x)
            mean[active] = 0.9 * mean[active] + 0.1 * gradient
            square[active] = 0.999 * square[active] + 0.001 * gradient**2
            unbiased = mean[active] / (1 - 0.9**step)
            scale = (square[active] / (1 - 0.999**step)).sqrt() + 1e-8
            moved = (x.detach() - self.lr * unbiased / scale).clamp(0, 1)
            # A point that has just arrived stays where its loss is zero.
            points[active] = torch.where(done[active].view(-1, 1, 1, 1), x.detach(), moved)
        return points, done


def boundary_loss(logits: Tensor, first: Tensor, target: Tensor, k: float) -> Tensor:
    """Returns the paper's objective for each point, shape ``(N,)``.

    Args:
        logits: Shape ``(N, classes)``.
        first: The label ``i`` that is to come second, shape ``(N,)``.
        target: The label ``j`` that is to win by ``k``, shape ``(N,)``.
        k: The margin in logits.
    """
    z_i = logits.gather(1, first[:, None]).squeeze(1)
    z_j = logits.gather(1, target[:, None]).squeeze(1)
    pair = torch.zeros_like(logits).scatter(1, first[:, None], 1).scatter(1, target[:, None], 1)
    others = logits.masked_fill(pair.bool(), -torch.inf).amax(dim=1)
    return torch.relu(z_i - z_j + k) + torch.relu(others - z_i)
