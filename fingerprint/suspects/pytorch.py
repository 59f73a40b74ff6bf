"""A suspect at hand: a loaded model, run here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.digest import has_weights
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.suspects.base import Identity, Suspect

__all__ = ["ModelSuspect"]


class ModelSuspect(Suspect):
    """Answers with a model's own forward pass, in evaluation mode.

    One without weights in its state_dict does not say whose weights it has.

    Args:
        model: The model.
    """

    def __init__(self, model: Model) -> None:
        named = has_weights(model.module.state_dict())
        identity = Identity(
            model_digest=model.digest if named else None,
            file_sha256=model.file.sha256 if model.file else None,
            label=model.architecture,
        )
        super().__init__(model.input, model.output, identity=identity)
        self.model = model

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers in batches; see :meth:`Suspect.respond`."""
        return run(self.model, inputs)

    def facts(self) -> dict[str, Any]:
        """The model's facts."""
        return self.model.to_dict()
