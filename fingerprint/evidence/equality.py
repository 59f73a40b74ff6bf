"""Equality: do the answers to the harmless inputs equal those recorded at registration?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fingerprint.distances import answer_distance, answer_size, named, precision, top_k
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.finding import Finding

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Equality"]


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
        deviation = _deviation(fingerprint, answers, given)
        recorded = np.stack([probe.answer for probe in fingerprint.probes])
        agreement = (given.argmax(-1) == recorded.argmax(-1))[answered].mean()
        return (
            Finding(
                test=self.name,
                speaks_for="individual",
                statistic=deviation,
                used=int(answered.sum()),
                detail={
                    "equal": deviation <= fingerprint.tolerance,
                    "tolerance": fingerprint.tolerance,
                    "label_agreement": float(agreement),
                },
            ),
        )


def _deviation(fingerprint: Fingerprint, answers: Answers, given: NDArray[np.float32]) -> float:
    """Largest relative difference between given and recorded answers; infinite if some lack.

    Where one side gives logits and the other probabilities, softmax brings them together. Where
    only the likeliest classes are named, the recorded answer is cut to as many. For labels it is
    0 where all agree, infinite otherwise.
    """
    recorded = np.stack([probe.answer for probe in fingerprint.probes])
    kind, recorded_kind, floor = answers.kind, fingerprint.output.kind, answers.floor
    if not np.isfinite(given).all():
        return float("inf")
    if kind == "labels":
        return 0.0 if bool((given.argmax(-1) == recorded.argmax(-1)).all()) else float("inf")
    if kind == "top-k":
        if recorded_kind == "logits":
            recorded = softmax(recorded, axis=-1)
        recorded = top_k(recorded, named(given).sum(axis=-1))
    elif kind != recorded_kind:
        given = given if kind == "probabilities" else softmax(given, axis=-1)
        recorded = recorded if recorded_kind == "probabilities" else softmax(recorded, axis=-1)
        kind = "probabilities"
        floor = precision(given) if floor is None else floor
    difference = answer_distance(given, recorded, kind, floor=floor)
    size = answer_size(recorded, kind, floor=floor)
    return float((difference / np.maximum(size, np.finfo(np.float32).tiny)).max())
