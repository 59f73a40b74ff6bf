"""How far harmless inputs and their controls move the answers of one model.

    harms = harms_of(perturbed, origin, control, control_origin, rows=rows, known=known)
    harms.ratios                            # of each probe: harm over that of its control

Registration measures on models at hand, verification on a suspect's answers; both mean the same
by a harm ratio, because both have it from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.distances import answer_distance
from fingerprint.precision import Precision

__all__ = ["LEAST_PROBES", "Harms", "Orbits", "enough", "harms_of", "orbits_of"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST_PROBES = 4
_LEAST_BASES = 2


@dataclass(frozen=True, eq=False)
class Harms:
    """How far probes and their controls move a model's answers, for N probes.

    Attributes:
        harm: Of each probe, float64 of shape ``(N,)``, at least ``least``; not finite where an
            answer is not.
        control: Of its control, likewise.
        least: What the answers can show of either, shape ``(N,)``; one value for a base.
    """

    harm: Array
    control: Array
    least: Array

    @property
    def answered(self) -> Mask:
        """Probes whose answers and whose control's are all there."""
        there: Mask = np.isfinite(self.harm) & np.isfinite(self.control)
        return there

    @property
    def moved(self) -> Mask:
        """Probes where either of the two moved the answer; of the others nothing is known."""
        with np.errstate(invalid="ignore"):
            seen = np.maximum(self.harm, self.control) > self.least
        moved: Mask = self.answered & seen
        return moved

    @property
    def ratios(self) -> Array:
        """Harm over that of the control; infinite where neither moved, NaN where one is missing."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios: Array = self.harm / self.control
        ratios[self.answered & ~self.moved] = np.inf
        return ratios


def harms_of(
    perturbed: NDArray[Any],
    origin: NDArray[Any],
    control: NDArray[Any],
    control_origin: NDArray[Any],
    *,
    rows: NDArray[np.integer],
    known: Precision,
    floor: float | None = None,
) -> Harms:
    """Measures harm from answers, all of shape ``(N, classes)``, NaN where there is none.

    Rounded answers may not move at all. That is no harm of zero but one too small to be seen, so
    probe and control alike count at least what the answers of their base can show: within a base
    they stay exchangeable for whoever has nothing to do with the source.

    Args:
        perturbed: Answers to the harmless inputs.
        origin: To their bases.
        control: To their controls.
        control_origin: To the bases of those.
        rows: Which base each probe has, shape ``(N,)``.
        known: How precisely the answers are given, and of what kind they are.
        floor: Least probability; the precision of the answers compared if omitted.
    """
    harm = answer_distance(perturbed, origin, known.kind, floor=floor)
    control_harm = answer_distance(control, control_origin, known.kind, floor=floor)
    given = np.stack([origin, perturbed, control_origin, control], axis=1)  # (N, 4, classes)
    least = np.zeros(len(rows))
    for base in sorted(set(rows.tolist())):
        least[rows == base] = known.least_distance(given[rows == base])
    return Harms(np.maximum(harm, least), np.maximum(control_harm, least), least)


def enough(chosen: Mask, rows: NDArray[np.integer]) -> bool:
    """Whether the chosen probes are enough to say anything of them together."""
    return int(chosen.sum()) >= LEAST_PROBES and len(set(rows[chosen].tolist())) >= _LEAST_BASES


@dataclass(frozen=True, eq=False)
class Orbits:
    """How far probes and their turns move a model's answers, for N probes of k turns each.

    Attributes:
        harm: Of each probe, then of its turns, float64 of shape ``(N, k + 1)``, at least
            ``least``; not finite where an answer is not.
        least: What the answers can show of any of them, shape ``(N,)``.
    """

    harm: Array
    least: Array

    @property
    def answered(self) -> Mask:
        """Probes whose answers and whose turns' are all there.

        An orbit in part would let whoever answers choose its controls.
        """
        there: Mask = np.asarray(np.isfinite(self.harm).all(axis=1), dtype=np.bool_)
        return there

    @property
    def moved(self) -> Mask:
        """Probes where any of the orbit moved the answer; of the others nothing is known."""
        with np.errstate(invalid="ignore"):
            seen = np.asarray(self.harm.max(axis=1, initial=0.0) > self.least, dtype=np.bool_)
        moved: Mask = np.logical_and(self.answered, seen)
        return moved

    def against(self, columns: Sequence[int]) -> Orbits:
        """Returns the same probes beside some of their turns alone, numbered from 0."""
        return Orbits(self.harm[:, [0, *(column + 1 for column in columns)]], self.least)

    @property
    def logs(self) -> Array:
        """Natural logarithms of ``harm``."""
        with np.errstate(divide="ignore"):
            logs: Array = np.log(self.harm)
        return logs

    @property
    def of_turns(self) -> Array:
        """Mean logarithm of the harm of the turns, shape ``(N,)``; NaN where one is missing."""
        with np.errstate(invalid="ignore"):
            means: Array = self.logs[:, 1:].mean(axis=1)
        return means

    @property
    def ratios(self) -> Array:
        """Harm of each probe over the geometric mean of its turns', shape ``(N,)``.

        Infinite where nothing moved, NaN where an answer is missing or a harm is 0.
        """
        logs = np.where(self.answered[:, None] & (self.harm > 0), self.logs, np.nan)
        ratios: Array = np.exp(logs[:, 0] - logs[:, 1:].mean(axis=1))
        ratios[self.answered & ~self.moved] = np.inf
        return ratios


def orbits_of(
    perturbed: NDArray[Any],
    origin: NDArray[Any],
    controls: NDArray[Any],
    *,
    known: Precision,
    floor: float | None = None,
) -> Orbits:
    """Measures harm from answers, NaN where there is none.

    Args:
        perturbed: Answers to the probes, shape ``(N, classes)``.
        origin: To their bases, the same shape.
        controls: To their turns, shape ``(N, k, classes)``.
        known: How precisely the answers are given, and of what kind they are.
        floor: Least probability; the precision of the answers compared if omitted.
    """
    members = np.concatenate([perturbed[:, None], controls], axis=1)
    count = members.shape[1]
    harm = np.stack(
        [
            answer_distance(members[:, place], origin, known.kind, floor=floor)
            for place in range(count)
        ],
        axis=1,
    )
    given = np.concatenate([origin[:, None], members], axis=1)
    least = np.array([known.least_distance(rows) for rows in given])
    return Orbits(np.maximum(harm, least[:, None]), least)
