"""Targets to watch: a linear network that answers with or without noise, and may be exchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.spec import AnswerKind, InputSpec, OutputSpec
from fingerprint.suspects.base import Suspect

__all__ = ["SHAPE", "Linear", "pixels"]

SHAPE = (3, 4, 4)
_CLASSES = 5


def pixels(count: int = 12) -> NDArray[np.uint8]:
    """Distinct inputs of that shape."""
    return np.random.default_rng(7).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


class Linear(Suspect):
    """Five answers, linear in the pixels.

    Attributes:
        noise: Deviation of what is added to each logit.
        moved: Share by which its weights are moved.
        slips: Numbers of questions, counted from 1, that get an answer of their own.
        dead: Whether it answers nothing.
    """

    def __init__(self, kind: AnswerKind = "logits", *, noise: float = 0.0) -> None:
        super().__init__(InputSpec(shape=SHAPE), OutputSpec(classes=_CLASSES, kind=kind))
        random = np.random.default_rng(0)
        self.weights = random.normal(size=(2, int(np.prod(SHAPE)), _CLASSES))
        self.random = np.random.default_rng(1)
        self.noise, self.moved = noise, 0.0
        self.slips: set[int] = set()
        self.dead = False
        self._count = 0

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See :meth:`Suspect.respond`."""
        if self.dead:
            raise OSError("the line is dead")
        weights = self.weights[0] + self.moved * self.weights[1]
        rows = inputs.reshape(len(inputs), -1) / 255 @ weights
        rows = rows + self.noise * self.random.normal(size=rows.shape)
        for place in range(len(rows)):
            self._count += 1
            if self._count in self.slips:
                rows[place] += np.arange(_CLASSES)
        if self.output.kind == "labels":
            rows = np.eye(_CLASSES)[rows.argmax(-1)]
        if self.output.kind == "probabilities":
            rows = np.exp(rows) / np.exp(rows).sum(-1, keepdims=True)
        answers: NDArray[np.float32] = rows.astype(np.float32)
        return answers
