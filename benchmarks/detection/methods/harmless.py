"""Our own method under the benchmark's contract: harm ratios within a budget of queries.

A fingerprint of 48 probes is extracted once; smaller budgets use its first probes, which is what
a registration with fewer probes would have solved. The score of a suspect is how far its mean
log harm ratio lies below the log of the margin that the source's own decoys leave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.detection.methods.base import BUDGETS
from fingerprint import Fingerprint, Model, ModelSuspect, Suspect, Verification, load_model, verify
from fingerprint.answers import ask
from fingerprint.evidence.calibration import Calibration, Margin
from fingerprint.evidence.harm_ratio import HarmRatio, measured_harms
from fingerprint.evidence.statistics import holm
from fingerprint.questions import questions_for
from fingerprint.suspects import Narrowed

__all__ = [
    "ANSWER_KINDS",
    "DEFAULT_PROBES",
    "PROBES",
    "Remembering",
    "as_model",
    "p_exchangeable",
    "remembering",
    "scores",
    "shortened",
    "verdicts",
]

PROBES = 48
DEFAULT_PROBES = 24
ANSWER_KINDS = {
    "logits": "logits",
    "probabilities": "probabilities",
    "top-5": "top-k",
    "labels": "labels",
}
"""How the results call each kind of answer, and how the library does."""

_PLANS = {6: (2, 2), 12: (2, 5), 24: (6, 9), 48: (6, 21), 100: (6, 47)}
"""Budget of queries: how many bases and probes fit it, each probe being asked twice."""


def as_model(network: nn.Module, input_size: tuple[int, ...]) -> Model:
    """Returns a network of the zoo as the library loads one."""
    return load_model(network, input_size=input_size)


class Remembering(Suspect):
    """Passes on a suspect's answers and asks it nothing twice: for speed, not for the count.

    Args:
        suspect: Who answers.
    """

    def __init__(self, suspect: Suspect) -> None:
        super().__init__(suspect.input, suspect.output)
        self._suspect = suspect
        self._known: dict[bytes, NDArray[np.float32]] = {}

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers a batch from memory where it can; see :meth:`Suspect.respond`."""
        keys = [hashlib.sha256(one.tobytes()).digest() for one in inputs]
        fresh = {key: one for key, one in zip(keys, inputs, strict=True) if key not in self._known}
        if fresh:
            answers = self._suspect.answer(np.stack(list(fresh.values())))
            self._known.update(zip(fresh, answers, strict=True))
        return np.stack([self._known[key] for key in keys])


def remembering(network: nn.Module, input_size: tuple[int, ...]) -> Remembering:
    """Returns a network of the zoo as a suspect that remembers its answers."""
    return Remembering(ModelSuspect(as_model(network, input_size)))


def shortened(fingerprint: Fingerprint, probes: int) -> Fingerprint:
    """Returns the fingerprint with its first probes only."""
    return replace(fingerprint, probes=fingerprint.probes[:probes])


def scores(
    fingerprint: Fingerprint, suspect: Suspect, budgets: Sequence[int] = BUDGETS
) -> dict[int, float | None]:
    """Scores a suspect within each budget.

    Args:
        fingerprint: Of the source, with :data:`PROBES` probes.
        suspect: Whom to ask.
        budgets: Numbers of queries, of those in the plan.

    Returns:
        ``log(margin) - mean log harm ratio`` per budget; higher means more likely derived, 0 is
        the margin. None where the answers are missing.
    """
    answers = ask(suspect, questions_for({"source": fingerprint}))
    harms = measured_harms(fingerprint, answers)
    logs = np.log(harms.harm) - np.log(harms.control)
    rows = np.array([probe.base for probe in fingerprint.probes])
    margin = Calibration().margin(
        "source", fingerprint, test="harm_ratio", depth="network", answer_kind=answers.kind
    )
    found: dict[int, float | None] = {}
    for budget in budgets:
        bases, probes = _PLANS[budget]
        chosen = np.flatnonzero(rows < bases)[:probes]
        score = float(np.log(margin.value) - logs[chosen].mean())
        found[budget] = score if np.isfinite(score) else None
    return found


def p_exchangeable(fingerprint: Fingerprint, suspect: Suspect) -> float | None:
    """Returns the p-value with a margin of one: that probes do as much harm as their controls.

    It is the test's calibration that can be checked against a uniform law; a margin below one
    only makes it larger.
    """
    default = shortened(fingerprint, DEFAULT_PROBES)
    answers = ask(suspect, questions_for({"source": default}))
    findings = HarmRatio().measure("source", default, answers, _NoMargin())
    return min(holm([one.p_value for one in findings if one.p_value is not None]), default=None)


class _NoMargin(Calibration):
    """Asks whether probes do as much harm as their controls."""

    def margin(self, *_: Any, **__: Any) -> Margin:
        """Returns a margin of one."""
        return Margin(1.0)


def verdicts(fingerprint: Fingerprint, suspect: Suspect) -> dict[str, Verification]:
    """Verifies a suspect with 24 probes, as it would answer through each kind of endpoint."""
    default = shortened(fingerprint, DEFAULT_PROBES)
    return {
        name: verify(Narrowed(suspect, kind), default)  # type: ignore[arg-type]
        for name, kind in ANSWER_KINDS.items()
    }
