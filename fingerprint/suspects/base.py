"""Who answers: the one thing a verification needs of a suspect.

A suspect takes a batch of inputs in the form they would be sent (8-bit images, or float32 in
bounds) and returns answers. Everything else, files, modules, endpoints, is behind it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.spec import InputSpec, OutputSpec

__all__ = ["Suspect"]


class Suspect(ABC):
    """Something that answers inputs. Subclasses define :meth:`respond`.

    Attributes:
        input: What it takes.
        output: What it gives.
        queries: How many inputs it has been asked.
    """

    def __init__(self, input: InputSpec, output: OutputSpec) -> None:
        self.input = input
        self.output = output
        self.queries = 0

    @abstractmethod
    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers a batch: ``(N, *input.shape)`` -> ``(N, classes)``.

        Args:
            inputs: uint8 for pixels, float32 otherwise.

        Returns:
            float32 answers; a row of NaN where there was no answer.
        """

    def answer(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers a batch and counts it; see :meth:`respond`."""
        self.queries += len(inputs)
        return self.respond(inputs)

    def facts(self) -> dict[str, Any]:
        """Plain JSON values that say who was asked."""
        return {"input": self.input.to_dict(), "output": self.output.to_dict()}
