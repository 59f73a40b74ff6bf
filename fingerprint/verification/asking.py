"""Asking a suspect: each input once, however many candidates share it.

One input is asked a second time, to see whether the suspect answers the same.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.distances import answer_distance, answer_size, named, precision
from fingerprint.network.spec import AnswerKind
from fingerprint.precision import Precision
from fingerprint.probes.probe import Fingerprint
from fingerprint.suspects.base import Suspect

__all__ = ["Answers", "ask"]


class Answers:
    """A suspect's answers by input.

    Attributes:
        repeatable: Whether repeated inputs got equal answers.
    """

    def __init__(self, suspect: Suspect) -> None:
        self.repeatable = True
        self._suspect = suspect
        self._rows: dict[bytes, NDArray[np.float32]] = {}
        self._most_named = 0

    @property
    def kind(self) -> AnswerKind:
        """What the answers are. Top-k answers that never name a second class are labels."""
        kind = self._suspect.output.kind
        return "labels" if kind == "top-k" and self._most_named == 1 else kind

    def ask(self, inputs: NDArray[Any]) -> None:
        """Asks those inputs that have not been asked yet, shape ``(N, *shape)``."""
        fresh: dict[bytes, NDArray[Any]] = {}
        for one in inputs:
            key = _key(one)
            if key not in self._rows:
                fresh[key] = one
        if fresh:
            answers = self._answer(np.stack(list(fresh.values())))
            self._most_named = max(self._most_named, int(named(answers).sum(axis=-1).max()))
            self._rows.update(zip(fresh, answers, strict=True))

    @property
    def floor(self) -> float | None:
        """Least probability that these answers can tell from zero; None for other kinds."""
        if self.kind != "probabilities" or not self._rows:
            return None
        return precision(np.stack(list(self._rows.values())))

    @property
    def precision(self) -> Precision:
        """How precisely these answers are given."""
        return Precision.of(np.stack(list(self._rows.values())), self.kind)

    def repeat(self, inputs: NDArray[Any], tolerance: float) -> None:
        """Asks inputs again and remembers whether the answers agree."""
        again = self._answer(inputs)
        before = self.of(inputs)
        difference = answer_distance(again, before, self.kind, floor=self.floor)
        size = answer_size(before, self.kind, floor=self.floor)
        least = self.precision.least_distance(np.concatenate([before, again]))
        steady = difference <= np.maximum(tolerance * size, least)
        unanswered = ~np.isfinite(before).all(axis=-1)
        self.repeatable &= bool((steady | unanswered).all())

    def of(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The answers to inputs of shape ``(..., *shape)``; returns ``(..., classes)``."""
        depth = inputs.ndim - len(self._suspect.input.shape)
        flat = inputs.reshape(-1, *inputs.shape[depth:])
        rows = np.stack([self._rows[_key(one)] for one in flat])
        return rows.reshape(*inputs.shape[:depth], -1)

    def _answer(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers, NaN where there is none: a top-k answer that names no class is none."""
        answers = self._suspect.answer(inputs)
        if self._suspect.output.kind == "top-k":
            there = named(answers).any(axis=-1, keepdims=True)
            answers = np.where(there, answers, np.float32(np.nan))
        return answers


def ask(suspect: Suspect, candidates: list[Fingerprint], tolerance: float) -> Answers:
    """Asks everything the candidates need, one base a second time.

    Args:
        suspect: Whom to ask.
        candidates: Fingerprints of the suspect's input domain.
        tolerance: Relative difference of repeated answers that still counts as equal.

    Returns:
        The answers to all bases, controls and harmless inputs.
    """
    answers = Answers(suspect)
    everything = []
    for fingerprint in candidates:
        everything += [fingerprint.bases, fingerprint.control_bases]
        everything += [fingerprint.harmless, fingerprint.controls]
    answers.ask(np.concatenate(everything))
    answers.repeat(candidates[0].probes[0].harmless[None], tolerance)
    return answers


def _key(one: NDArray[Any]) -> bytes:
    return hashlib.sha256(one.tobytes()).digest()
