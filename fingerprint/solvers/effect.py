"""What a perturbation does to a network's answers, measured.

before_and_after = effects(model, images, images + delta)
before_and_after[0].relative    # 0: harmless; 1: as far as the answer itself
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import BATCH, full_precision
from fingerprint.solvers.objective import centred

__all__ = ["Effect", "effects"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """How one answer changed.

    Attributes:
        relative: ``‖g(x') − g(x)‖ / ‖g(x)‖``, g being the logits with their mean subtracted
            (softmax is blind to that mean, Lemma 1.3); infinite or NaN where g(x) is zero.
        rmse: ``‖f(x') − f(x)‖ / √m`` of the logits as they are, the paper's Table 1.
        largest: Largest change of a single logit.
        label: Class with the largest logit before.
        label_after: The same after.
    """

    relative: float
    rmse: float
    largest: float
    label: int
    label_after: int

    @property
    def same_label(self) -> bool:
        """Whether the network still names the same class."""
        return self.label == self.label_after

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)


def effects(model: Model, before: Tensor, after: Tensor) -> list[Effect]:
    """Answers pairs of inputs and says how far the answers are apart.

    Args:
        model: The network; asked in its own precision, so a claim of exactness wants a model
            in float64.
        before: Inputs of shape ``(B, *model.input.shape)``.
        after: The changed inputs, same shape; they may lie outside ``model.input.bounds``.

    Raises:
        UsageError: The shapes differ.
    """
    if before.shape != after.shape or tuple(before.shape[1:]) != model.input.shape:
        raise UsageError(
            f"effect: expected two batches of inputs {model.input.shape}, "
            f"got {tuple(before.shape)} and {tuple(after.shape)}"
        )
    found: list[Effect] = []
    for first, second in zip(torch.split(before, BATCH), torch.split(after, BATCH), strict=True):
        found += _effects(_logits(model, first), _logits(model, second))
    return found


def _logits(model: Model, inputs: Tensor) -> Tensor:
    with torch.no_grad(), full_precision():
        answers = logits_of(model)(inputs.to(model.device, model.dtype))
    return answers.flatten(1).double().cpu()


def _effects(before: Tensor, after: Tensor) -> list[Effect]:
    moved = after - before
    relative = centred(moved).norm(dim=1) / centred(before).norm(dim=1)
    rmse = moved.norm(dim=1) / before.shape[1] ** 0.5
    largest = moved.abs().amax(dim=1)
    labels, labels_after = before.argmax(dim=1), after.argmax(dim=1)
    return [
        Effect(
            relative=float(relative[row]),
            rmse=float(rmse[row]),
            largest=float(largest[row]),
            label=int(labels[row]),
            label_after=int(labels_after[row]),
        )
        for row in range(len(before))
    ]
