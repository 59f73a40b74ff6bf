"""A suspect that was asked elsewhere: it looks up what was answered, and knows nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.questions import Questions, question_id
from fingerprint.suspects.base import Identity, Suspect

__all__ = ["Recorded"]


class Recorded(Suspect):
    """Answers from a record.

    Args:
        input: What was asked.
        output: What the answers are.
        answers: By id of the input, the answers in the order they were given, shape
            ``(r, classes)``.
        identity: Whose they are said to be.
        models: Names of the registered models whose probes were asked.
        facts: Where they come from, plain JSON values.
    """

    def __init__(
        self,
        input: InputSpec,
        output: OutputSpec,
        answers: Mapping[str, NDArray[np.float32]],
        *,
        identity: Identity | None = None,
        models: tuple[str, ...] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(input, output, identity=identity)
        self.answers, self.models = answers, models
        self._facts = dict(facts or {})
        self._asked: Counter[str] = Counter()

    @property
    def beyond(self) -> bool:
        """Nobody saw how it was asked."""
        return True

    def prepare(self, questions: Questions) -> None:
        """Begins with the first answers again."""
        del questions
        self._asked.clear()

    def again(self, questions: Questions) -> tuple[str, ...]:
        """Whatever was answered more than once, as often; where nothing was, as ever."""
        several = [
            asked for asked in questions.ids for _ in range(len(self.answers.get(asked, ())) - 1)
        ]
        return tuple(several) or questions.repeated

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers a batch; see :meth:`Suspect.respond`. The n-th time, with the n-th answer."""
        rows = np.full((len(inputs), self.output.classes), np.nan, np.float32)
        for row, one in zip(rows, inputs, strict=True):
            asked = question_id(one)
            given = self.answers.get(asked, rows[:0])
            if self._asked[asked] < len(given):
                row[:] = given[self._asked[asked]]
            self._asked[asked] += 1
        return rows

    def facts(self) -> dict[str, Any]:
        """What was answered, and where it comes from."""
        return {**super().facts(), **self._facts}
