"""Our own method under the benchmark's contract: harm ratios within a budget of queries.

A fingerprint of 48 probes is extracted once; smaller budgets use the first probes of each depth,
which is what a registration with fewer probes would have solved. The score of a suspect is how far
its mean log harm ratio lies below the log of the margin, at the depth where it lies furthest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.detection.methods.base import BUDGETS
from fingerprint import Fingerprint, Model, ModelSuspect, Suspect, Verification, load_model, verify
from fingerprint.answers import ask
from fingerprint.evidence.calibration import Calibration, Margin
from fingerprint.evidence.depths import measured_orbits
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.harm_ratio import HarmRatio
from fingerprint.network.spec import AnswerKind
from fingerprint.probes.probe import Probe
from fingerprint.probes.turns import control_groups
from fingerprint.questions import question_id, questions_for
from fingerprint.suspects import Narrowed

__all__ = [
    "ANSWER_KINDS",
    "DEFAULT_PROBES",
    "LENGTHS",
    "PROBES",
    "Remembering",
    "as_model",
    "asked",
    "by_length",
    "joint_p",
    "p_exchangeable",
    "remembering",
    "scores",
    "shortened",
    "verdicts",
]

PROBES = 48
DEFAULT_PROBES = 24
LENGTHS = (15, 18, 24, 30, 36, 48)
"""Numbers of probes to verify with: the first of each depth are what a registration with so many
would have solved. With much fewer it takes probes of one depth alone, or more turns."""
ANSWER_KINDS: dict[str, AnswerKind] = {
    "logits": "logits",
    "probabilities": "probabilities",
    "top-5": "top-k",
    "labels": "labels",
}
"""How the results call each kind of answer, and how the library does."""

_ASKED = 5
"""Inputs that one probe costs: itself and four turns. Its base is shared by the depths."""


def as_model(network: nn.Module, input_size: tuple[int, ...], device: str = "cpu") -> Model:
    """Returns a network of the zoo as the library loads one."""
    return load_model(network, input_size=input_size, device=device)


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


def remembering(
    network: nn.Module, input_size: tuple[int, ...], device: str = "cpu"
) -> Remembering:
    """Returns a network of the zoo as a suspect that remembers its answers."""
    return Remembering(ModelSuspect(as_model(network, input_size, device)))


def shortened(fingerprint: Fingerprint, probes: int) -> Fingerprint:
    """Returns the fingerprint with its first probes only, of each depth the same share."""
    share = probes / len(fingerprint.probes)
    kept: list[Probe] = []
    for depth in fingerprint.depths:
        own = [probe for probe in fingerprint.probes if probe.kind == depth.name]
        kept += own[: max(1, round(share * len(own)))]
    bases = 1 + max(probe.base for probe in kept)
    return replace(
        fingerprint,
        probes=tuple(kept),
        bases=fingerprint.bases[:bases],
        base_answers=fingerprint.base_answers[:bases],
    )


def scores(
    fingerprint: Fingerprint, suspect: Suspect, budgets: Sequence[int] = BUDGETS
) -> dict[int, float | None]:
    """Scores a suspect within each budget.

    Args:
        fingerprint: Of the source, with :data:`PROBES` probes.
        suspect: Whom to ask.
        budgets: Numbers of queries, of those in the plan.

    Returns:
        ``log(margin) - mean log harm ratio``, beside the control group that makes the ratio larger,
        per budget; higher means more likely derived, 0 is
        the margin. None where the answers are missing.
    """
    answers = ask(suspect, questions_for({"source": fingerprint}))
    found: dict[int, float | None] = {}
    for budget in budgets:
        part = shortened(fingerprint, max(1, budget // (_ASKED + 1)))
        orbits = measured_orbits(part, answers)
        columns = control_groups(part.input.shape, part.turns)
        logs = np.stack([np.log(orbits.against(kind).ratios) for kind in columns])
        kinds = np.array([probe.kind for probe in part.probes])
        values = []
        for depth in part.depths:
            margin = Calibration().margin(
                "source", part, test="harm_ratio", depth=depth.name, answer_kind=answers.kind
            )
            ratio = logs[:, kinds == depth.name].mean(axis=1).max()
            values.append(float(np.log(margin.value) - ratio))
        score = max(values)
        found[budget] = score if np.isfinite(score) else None
    return found


def p_exchangeable(fingerprint: Fingerprint, suspect: Suspect) -> float | None:
    """Returns the p-value with a margin of one: that probes do as much harm as their controls.

    It is the test's calibration that can be checked against a uniform law; a margin below one
    only makes it larger.
    """
    default = shortened(fingerprint, DEFAULT_PROBES)
    answers = ask(suspect, questions_for({"source": default}))
    return joint_p(HarmRatio().measure("source", default, answers, _NoMargin()))


def joint_p(findings: Iterable[Finding]) -> float | None:
    """Returns the p-value over all depths of a candidate's probes; None without evidence."""
    return min((one.joint_p for one in findings if one.joint_p is not None), default=None)


class _NoMargin(Calibration):
    """Asks whether probes do as much harm as their controls."""

    def margin(self, *_: Any, **__: Any) -> Margin:
        """Returns a margin of one."""
        return Margin(1.0)


def verdicts(
    fingerprint: Fingerprint, suspect: Suspect, probes: int = DEFAULT_PROBES
) -> dict[str, Verification]:
    """Verifies a suspect with so many probes, as it would answer through each kind of endpoint."""
    part = shortened(fingerprint, probes)
    return {name: verify(Narrowed(suspect, kind), part) for name, kind in ANSWER_KINDS.items()}


def by_length(
    fingerprint: Fingerprint, suspect: Suspect, lengths: Sequence[int] = LENGTHS
) -> dict[str, dict[int, Verification]]:
    """Verifies a suspect with more and more probes, by kind of answer and number of probes."""
    found: dict[str, dict[int, Verification]] = {name: {} for name in ANSWER_KINDS}
    for probes in lengths:
        for name, verification in verdicts(fingerprint, suspect, probes).items():
            found[name][probes] = verification
    return found


def asked(fingerprints: Mapping[str, Fingerprint], probes: int) -> dict[str, int]:
    """Counts what a verification against all of these asks, with so many probes of each.

    Returns:
        Inputs of the panel, bases, probes and turns, and how many are asked a second time.
    """
    parts = {name: shortened(one, probes) for name, one in fingerprints.items()}
    questions = questions_for(parts)
    groups = {
        "panel": [one.panel for one in parts.values()],
        "bases": [one for part in parts.values() for one in (part.bases, part.flipped_bases)],
        "probes": [one.harmless for one in parts.values()],
        "turns": [one.controls for one in parts.values()],
    }
    found = {
        name: len({question_id(one) for inputs in arrays for one in inputs})
        for name, arrays in groups.items()
    }
    found["repeated"] = len(questions.repeated)
    assert sum(found.values()) == len(questions.ids) + len(questions.repeated)
    return found
