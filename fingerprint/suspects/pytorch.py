"""A suspect at hand: a loaded model, run here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.progress import Progress, silent
from fingerprint.suspects.base import Suspect

__all__ = ["ModelSuspect"]


class ModelSuspect(Suspect):
    """Answers with a model's own forward pass, in evaluation mode.

    Args:
        model: The model.
        progress: Called after each batch.
    """

    def __init__(self, model: Model, *, progress: Progress = silent) -> None:
        super().__init__(model.input, model.output)
        self.model = model
        self.progress = progress

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers in batches; see :meth:`Suspect.respond`."""
        return run(self.model, inputs, progress=self.progress)

    def facts(self) -> dict[str, Any]:
        """The model's facts."""
        return self.model.to_dict()
