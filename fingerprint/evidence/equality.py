"""Equality: do the answers to the harmless inputs equal those recorded at registration?

They do within the tolerance that was measured at registration, or within the answers' own
precision where they were rounded: then no answer tells more than that. Answers that hardly say
more than a label, because they are coarse or saturated, are equal for many networks: they explain
what was recorded, and prove no identity. Nor do equal ones where the answers to the panel are
another model's: whoever knows the probes can replay what was recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fingerprint.distances import answer_distance, answer_size, as_given, precision
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.finding import Finding
from fingerprint.network.spec import AnswerKind
from fingerprint.precision import Precision

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Equality", "deviations"]

_COARSEST = 0.01
"""Step of rounded answers above which they say little more than a label does."""
_LEAST_TELLING = 4
"""Recorded answers that must say more than their label for equal ones to prove anything."""
_LEAST_APART = 100.0
"""How many times as far as from the given ones recorded answers to the panel must lie from each
other: models that answer everything with what is commonest are equal for that."""
_PANEL_NEAR = 0.1
"""Relative difference up to which an answer to the panel is the recorded one: far more than devices
make, and far less than lies between models."""


class Equality:
    """Measures the largest relative difference between given and recorded answers."""

    name = "equality"

    def measure(
        self, name: str, fingerprint: Fingerprint, answers: Answers, calibration: Calibration
    ) -> tuple[Finding, ...]:
        """See :meth:`Test.measure`; there is no finding where the label spaces differ or may."""
        del name, calibration
        if answers.output.classes != fingerprint.output.classes or answers.output.by_name:
            return ()
        # Whoever was registered by answers alone has no probes, but its panel is as telling.
        alone = not fingerprint.probes
        given = answers.of(fingerprint.panel if alone else fingerprint.harmless)
        answered = np.isfinite(given).all(axis=-1)
        if not answered.any():
            return ()
        recorded = (
            fingerprint.panel_answers
            if alone
            else np.stack([probe.answer for probe in fingerprint.probes])
        )
        deviation, rounding, within, telling = float("inf"), None, False, 0
        told_apart = None
        if answered.all():
            told, kept, kind = as_given(given, recorded, answers.kind, fingerprint.output.kind)
            deviation = _deviation(told, kept, kind, answers.floor)
            step = _coarser(answers.precision, recorded, fingerprint.output.kind)
            if kind == answers.kind != "labels" and step > 0:
                rounding = step
                within = bool((abs(told - kept) <= 0.51 * step).all())
            if alone:
                told_apart = _told_apart(told, kept, kind, answers.floor)
            if kind != "labels":
                shown = answers.precision.step if kind == answers.kind else 0.0
                telling = _telling(kept, kind, shown, answers.floor)
        close = deviation <= fingerprint.tolerance
        proves = telling >= _LEAST_TELLING and (rounding is None or rounding <= _COARSEST)
        panel = None if alone else _panel_share(fingerprint, answers)
        agreement = (given.argmax(-1) == recorded.argmax(-1))[answered].mean()
        return (
            Finding(
                test=self.name,
                speaks_for="individual",
                statistic=deviation,
                used=int(answered.sum()),
                detail={
                    "equal": (close or within) and proves,
                    "explained": close or within,
                    "told_apart": told_apart,
                    "panel": panel,
                    "tolerance": fingerprint.tolerance,
                    "rounded_to": rounding,
                    "telling": telling,
                    "label_agreement": float(agreement),
                },
            ),
        )


def deviations(
    given: NDArray[np.float32], recorded: NDArray[np.float32], kind: str, floor: float | None
) -> NDArray[np.float64]:
    """Returns how far given answers lie from recorded ones, relative to the size of these.

    Args:
        given: Answers of shape ``(N, classes)``.
        recorded: Answers of a shape that broadcasts with it.
        kind: What both are.
        floor: Least probability; the precision of those given if omitted.

    Returns:
        Shape ``(..., N)``; 0 where float32 explains the difference.
    """
    if kind == "labels":
        return np.where(given.argmax(-1) == recorded.argmax(-1), 0.0, np.inf)
    if kind == "probabilities" and floor is None:
        floor = precision(given)
    difference = answer_distance(given, recorded, kind, floor=floor)
    size = answer_size(recorded, kind, floor=floor)
    explained = difference <= Precision(kind).float_distance(recorded)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: NDArray[np.float64] = np.where(explained, 0.0, difference / size)
    return found


def _coarser(given: Precision, recorded: NDArray[np.float32], kind: AnswerKind) -> float:
    """The step that answers are rounded to; 0 where the recorded ones are no finer by nature."""
    own = Precision.of(recorded, kind).step if kind == given.kind else 0.0
    return given.step if given.step > 1.01 * own else 0.0


def _telling(kept: NDArray[np.float32], kind: str, step: float, floor: float | None) -> int:
    """How many recorded answers say more than their label, as the suspect would have given them.

    Those do that give two classes a value one can tell from the least: from zero in probabilities,
    from the lowest class in logits. Of two logits only the difference counts, and one that never
    takes more than a single step is a label.
    """
    values = np.asarray(kept, np.float64)
    least = 0.51 * step
    if kind == "logits":
        values = values - values.min(axis=-1, keepdims=True)
        least = max(least, Precision(kind).float_distance(kept))
        if values.shape[-1] == 2:
            return int((values.max(axis=-1) > 3 * least).sum())
    elif kind == "probabilities":
        least = max(least, floor or 0.0)
    return int(((values > least).sum(axis=-1) >= 2).sum())


def _told_apart(
    given: NDArray[np.float32], recorded: NDArray[np.float32], kind: str, floor: float | None
) -> bool:
    """Whether recorded answers lie much farther from each other than from those given."""
    if kind == "labels":
        return False
    among = answer_distance(recorded, np.roll(recorded, 1, axis=0), kind, floor=floor)
    off = answer_distance(given, recorded, kind, floor=floor)
    least = max(float(off.max()), Precision(kind).float_distance(recorded))
    return bool(np.median(among) > _LEAST_APART * least)


def _deviation(
    given: NDArray[np.float32], recorded: NDArray[np.float32], kind: str, floor: float | None
) -> float:
    """Largest relative difference; for labels 0 where all agree, infinite otherwise."""
    return float(deviations(given, recorded, kind, floor).max())


def _panel_share(fingerprint: Fingerprint, answers: Answers) -> float | None:
    """Share of the panel that got about the recorded answers; None where nothing can be told."""
    recorded = fingerprint.panel_answers
    if not len(recorded) or answers.kind == "labels":
        return None
    given = answers.of(fingerprint.panel)
    there = np.isfinite(given).all(axis=-1)
    if not there.any():
        return None
    told, kept, kind = as_given(
        given[there], recorded[there], answers.kind, fingerprint.output.kind
    )
    near = deviations(told, kept, kind, answers.floor) <= _PANEL_NEAR
    if kind == answers.kind:
        near |= (abs(told - kept) <= 0.51 * answers.precision.step).all(axis=-1)
    return float(near.mean())
