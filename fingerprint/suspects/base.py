"""Who answers: the one thing a verification needs of a suspect.

A suspect takes a batch of inputs in the form they would be sent (8-bit images, or float32 in
bounds) and returns answers. Everything else, files, modules, endpoints, is behind it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import EnvironmentFailure, ends_by_signal
from fingerprint.network.spec import InputSpec, OutputSpec

if TYPE_CHECKING:
    from fingerprint.questions import Questions

__all__ = ["Identity", "PassedOn", "Suspect"]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who a suspect says it is; declared by the suspect, never guessed.

    Attributes:
        model_digest: Content digest of its weights; None where they are not at hand.
        file_sha256: SHA-256 of the file they were read from; None where there is none.
        label: Whatever else names it, such as an architecture or an address.
    """

    model_digest: str | None = None
    file_sha256: str | None = None
    label: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)


class Suspect(ABC):
    """Something that answers inputs. Subclasses define :meth:`respond`.

    Attributes:
        input: What it takes.
        output: What it gives.
        identity: Who it says it is.
        queries: How many inputs it has been asked.
        batch: How many inputs it is asked at once.
    """

    batch = 64

    def __init__(
        self, input: InputSpec, output: OutputSpec, *, identity: Identity | None = None
    ) -> None:
        self.input = input
        self.output = output
        self.identity = identity or Identity()
        self.queries = 0

    @property
    def failure(self) -> str:
        """Why it answers no more, one line; empty while it does."""
        return ""

    @property
    def doubt(self) -> str:
        """Why answers like a stranger's do not make it one, one line; empty where they do."""
        return ""

    @property
    def feeding_doubt(self) -> str:
        """What is left of the doubt where nothing is taken away from what it is asked, one line."""
        return ""

    @property
    def beyond(self) -> bool:
        """Whether something may change what it is asked before its model is shown it."""
        return False

    def prepare(self, questions: Questions) -> None:
        """Is told what is going to be asked; by default that changes nothing."""
        del questions

    def again(self, questions: Questions) -> tuple[str, ...]:
        """Ids of the inputs it is asked once more, by default those that the questions say."""
        return questions.repeated

    def sequence(self, count: int) -> Sequence[int]:
        """Order in which it is asked so many inputs; by default as they come."""
        return range(count)

    @abstractmethod
    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers a batch: ``(N, *input.shape)`` -> ``(N, classes)``.

        Args:
            inputs: uint8 for pixels, float32 otherwise.

        Returns:
            float32 answers; a row of NaN where there was no answer.
        """

    def answer(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers a batch and counts it; see :meth:`respond`.

        Raises:
            EnvironmentFailure: What came is not one row of answers for each input, or its code
                ends the program.
        """
        self.queries += len(inputs)
        try:
            rows = np.asarray(self.respond(inputs), dtype=np.float32)
        except SystemExit as error:
            if ends_by_signal(error):
                raise
            raise EnvironmentFailure("its code ends the program instead of answering") from error
        expected = (len(inputs), self.output.classes)
        if rows.shape != expected:
            raise EnvironmentFailure(
                f"expected {expected[0]} answers of {expected[1]} values, got {_sizes(rows)}"
            )
        return rows

    def facts(self) -> dict[str, Any]:
        """Plain JSON values that say who was asked."""
        return {"input": self.input.to_dict(), "output": self.output.to_dict()}


class PassedOn(Suspect):
    """Passes on what another suspect says of itself; subclasses make something of its answers.

    Args:
        suspect: Who answers.
        output: What is given in place of its answers; they themselves if omitted.
    """

    def __init__(self, suspect: Suspect, output: OutputSpec | None = None) -> None:
        super().__init__(suspect.input, output or suspect.output, identity=suspect.identity)
        self.suspect, self.batch = suspect, suspect.batch

    @property
    def failure(self) -> str:
        """Why the other suspect answers no more."""
        return self.suspect.failure

    @property
    def doubt(self) -> str:
        """The other suspect's doubt."""
        return self.suspect.doubt

    @property
    def feeding_doubt(self) -> str:
        """The other suspect's."""
        return self.suspect.feeding_doubt

    @property
    def beyond(self) -> bool:
        """The other suspect's."""
        return self.suspect.beyond

    def prepare(self, questions: Questions) -> None:
        """Tells the other suspect what is going to be asked."""
        self.suspect.prepare(questions)

    def sequence(self, count: int) -> Sequence[int]:
        """The other suspect's order."""
        return self.suspect.sequence(count)

    def facts(self) -> dict[str, Any]:
        """The other suspect's facts."""
        return self.suspect.facts()


def _sizes(rows: NDArray[np.float32]) -> str:
    return "x".join(map(str, rows.shape)) or "a single value"
