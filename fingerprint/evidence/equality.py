"""Equality: do the answers to the harmless inputs equal those recorded at registration?

They do within the tolerance that was measured at registration, or within the answers' own
precision where they were rounded: then no answer tells more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fingerprint.distances import answer_distance, answer_size, named, precision, top_k
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.finding import Finding
from fingerprint.precision import Precision

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Equality"]

_COARSEST = 0.01
"""Step of rounded answers above which they say little more than a label does."""


class Equality:
    """Measures the largest relative difference between given and recorded answers."""

    name = "equality"

    def measure(
        self, name: str, fingerprint: Fingerprint, answers: Answers, calibration: Calibration
    ) -> tuple[Finding, ...]:
        """See :meth:`Test.measure`; there is no finding where the label spaces differ."""
        del name, calibration
        if answers.output.classes != fingerprint.output.classes:
            return ()
        given = answers.of(fingerprint.harmless)
        answered = np.isfinite(given).all(axis=-1)
        if not answered.any():
            return ()
        recorded = np.stack([probe.answer for probe in fingerprint.probes])
        deviation, rounding, within = float("inf"), None, False
        if answered.all():
            told, kept, kind = _comparable(given, recorded, answers.kind, fingerprint.output.kind)
            deviation = _deviation(told, kept, kind, answers.floor)
            step = answers.precision.step
            if kind == answers.kind != "labels" and step > 0:
                rounding = step
                within = bool((abs(told - kept) <= 0.51 * step).all())
        close = deviation <= fingerprint.tolerance
        fine = rounding is not None and rounding <= _COARSEST
        agreement = (given.argmax(-1) == recorded.argmax(-1))[answered].mean()
        return (
            Finding(
                test=self.name,
                speaks_for="individual",
                statistic=deviation,
                used=int(answered.sum()),
                detail={
                    "equal": close or (within and fine),
                    "explained": close or within,
                    "tolerance": fingerprint.tolerance,
                    "rounded_to": rounding,
                    "label_agreement": float(agreement),
                },
            ),
        )


def _comparable(
    given: NDArray[np.float32], recorded: NDArray[np.float32], kind: str, recorded_kind: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """Brings given and recorded answers to one kind.

    Where one side gives logits and the other probabilities, softmax brings them together. Where
    only the likeliest classes are named, the recorded answer is cut to as many.
    """
    if kind == "labels" or kind == recorded_kind == "logits":
        return given, recorded, kind
    if recorded_kind == "logits":
        recorded = softmax(recorded, axis=-1)
    if kind == "top-k":
        return given, top_k(recorded, named(given).sum(axis=-1)), kind
    if kind == "logits":
        given = softmax(given, axis=-1)
    return given, recorded, "probabilities"


def _deviation(
    given: NDArray[np.float32], recorded: NDArray[np.float32], kind: str, floor: float | None
) -> float:
    """Largest relative difference; for labels 0 where all agree, infinite otherwise."""
    if kind == "labels":
        return 0.0 if bool((given.argmax(-1) == recorded.argmax(-1)).all()) else float("inf")
    if kind == "probabilities" and floor is None:
        floor = precision(given)
    difference = answer_distance(given, recorded, kind, floor=floor)
    size = answer_size(recorded, kind, floor=floor)
    explained = difference <= Precision(kind).float_distance(recorded)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(explained, 0.0, difference / size).max())
