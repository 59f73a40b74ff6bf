"""Copies: do the answers to the panel equal those of a copy that a usual tool makes of the source?

Where relatives are registered, descent is told from kinship by what the source's own training
added. A copy whose weights are rounded or pruned may be farther from the source than that; but if
it was made as usual, its answers are known beforehand, and nobody else gives them: not where even
the nearest of the source's relatives is a hundred times as far.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.distances import answer_distance, answered, as_given, precision
from fingerprint.evidence.calibration import Calibration, Margin
from fingerprint.evidence.equality import deviations
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.resemblance import LEAST_ANSWERED

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Copies"]

_MARGIN = 0.01
"""Share of the distance to the nearest relative. To be equal within the tolerance is asked for as
well, so this keeps out only those whose relatives are equal, too. It is less than siblings come to
that began with the same head and learned a task of two classes: to 0.02, the median for the
largest distance, of perceptrons on digits."""


class Copies:
    """Measures how far the suspect's answers lie from those of the nearest copy of the source.

    The statistic is the largest distance over the panel, as a share of the median distance between
    source or copy and the nearest relative or its copy, whichever are nearest.
    """

    name = "copies"

    def measure(
        self, name: str, fingerprint: Fingerprint, answers: Answers, calibration: Calibration
    ) -> tuple[Finding, ...]:
        """See :meth:`Test.measure`; there is no finding where copies or values are not known."""
        del name, calibration
        known, output, own_kind = fingerprint.copies, answers.output, fingerprint.output.kind
        full = output.kind in ("logits", "probabilities") and not output.by_name
        if known is None or not full or output.classes != fingerprint.output.classes:
            return ()
        rows = answers.of(fingerprint.panel[: len(known.nearest)])
        there = answered(rows, output.kind)
        used = int(there.sum())
        if used < LEAST_ANSWERED:
            missing = f"{used} panel inputs were answered, {LEAST_ANSWERED} needed"
            return (Finding(test=self.name, used=used, detail={"missing": missing}),)
        own = fingerprint.panel_answers[: len(known.nearest)]
        recorded = [known.nearest[None], own[None], known.answers, known.nearest_copies]
        given, kept, kind = as_given(
            rows[there], np.concatenate(recorded)[:, there], output.kind, own_kind
        )
        floor = answers.floor
        if kind == "probabilities" and floor is None:
            floor = precision(given)
        relative, source = kept[0], kept[1]
        copies, beside = np.split(kept[2:], 2)
        off = answer_distance(given, copies, kind, floor=floor).max(axis=1)
        best = int(off.argmin())
        # Rounding and pruning may bring source and relative together: whatever is nearest counts.
        pairs = ((source, relative), (copies[best], relative), (copies[best], beside[best]))
        apart = min(
            float(np.median(answer_distance(one, other, kind, floor=floor))) for one, other in pairs
        )
        share = float(off[best]) / apart if apart > 0 else math.inf
        deviation = float(deviations(given, copies[best], kind, floor).max())
        equal = share <= _MARGIN and deviation <= fingerprint.tolerance
        return (
            Finding(
                test=self.name,
                speaks_for="individual",
                statistic=share,
                margin=Margin(_MARGIN, "fixed", bound=math.inf),
                used=used,
                detail={
                    "copy": known.names[best],
                    "equal": equal,
                    "deviation": deviation,
                    "tolerance": fingerprint.tolerance,
                },
            ),
        )
