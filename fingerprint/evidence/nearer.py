"""Which registered models arrange the panel alike, and which of two is a suspect nearer to?

A panel never shows that a suspect descends from one of them: whoever was trained on the same data
may lie nearer to a model than that model's own parent does. It shows that a relative explains the
answers as well, and then they say nothing of this model alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from fingerprint.evidence.resemblance import (
    Alignment,
    Panel,
    arrangement,
    compare,
    paired_difference,
    rank_models,
    resemblance_margin,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint, Outline

__all__ = ["Arranged", "Nearer", "arranged", "clearly_alike", "perhaps_alike"]

_AT_ONCE = 256
_ROUNDING = 1e-4
"""What single precision can take from a resemblance, many times over."""


class Nearer:
    """Compares candidates by the panel, pair by pair.

    Args:
        fingerprints: By name, of the candidates that were asked.
        answers: The suspect's.
    """

    def __init__(self, fingerprints: Mapping[str, Fingerprint], answers: Answers) -> None:
        self._fingerprints, self._answers = fingerprints, answers

    def __call__(self, name: str, other: str) -> Alignment | None:
        """Returns by how much the suspect is nearer to a candidate than to another one.

        None where they were not both asked the same panel, or where it says nothing of one.
        """
        found = [self._fingerprints.get(one) for one in (name, other)]
        asked = [one for one in found if one is not None]
        if len(asked) < 2 or not _same_panel(*asked):
            return None
        given = self._answers.of(asked[0].panel)
        suspect = Panel.of(given, self._answers.kind, floor=self._answers.floor)
        first, second = (Panel.of(one.panel_answers, one.output.kind) for one in asked)
        return paired_difference(suspect, first, second)


@dataclass(frozen=True, eq=False)
class Arranged:
    """What is kept of a model's answers to a panel to tell most strangers at once.

    Attributes:
        panel: Which panel: seed, and number of inputs.
        classes: How many it names.
        vector: See :func:`arrangement`; None where it cannot be said like this.
    """

    panel: tuple[str, int]
    classes: int
    vector: NDArray[np.float32] | None


def arranged(one: Fingerprint | Outline) -> Arranged:
    """Returns how a model arranges the panel that it was asked."""
    vector = None
    if len(one.panel_answers):
        vector = arrangement(Panel.of(one.panel_answers, one.output.kind))
    return Arranged((one.seed, len(one.panel_answers)), one.output.classes, vector)


def perhaps_alike(ours: Fingerprint, others: Mapping[int, Arranged]) -> list[int]:
    """Returns those of whom :func:`clearly_alike` may say so; of all others it does not.

    Args:
        ours: The model's fingerprint.
        others: How others arrange the panel.
    """
    own = arranged(ours)
    if own.vector is None:
        return list(others)
    linearity = Panel.of(ours.panel_answers, ours.output.kind).linearity
    margins = {
        classes: resemblance_margin(
            ours.output.kind, min(own.classes, classes), linearity=linearity
        ).value
        for classes in {one.classes for one in others.values()}
    }
    return [
        number
        for number, one in others.items()
        if one.panel == own.panel
        and (
            one.vector is None or float(own.vector @ one.vector) > margins[one.classes] - _ROUNDING
        )
    ]


def clearly_alike(
    ours: Fingerprint, others: Iterable[tuple[str, Fingerprint | Outline]]
) -> dict[str, Alignment]:
    """Returns who arranges the panel more like a model than independent models do.

    Args:
        ours: The model's fingerprint.
        others: By name, those of others or what the panel needs of them, which are let go of one
            after another; whoever was asked another panel is passed over.

    Returns:
        Those whose resemblance lies above its margin with its whole interval.
    """
    found: dict[str, Alignment] = {}
    if not len(ours.panel_answers):
        return found
    panel = Panel.of(ours.panel_answers, ours.output.kind)
    linearity = panel.linearity
    asked = (
        (name, one.output, one.panel_answers) for name, one in others if _same_panel(ours, one)
    )
    while some := {name: (output, rows) for name, output, rows in islice(asked, _AT_ONCE)}:
        kinds = {name: (rows, output.kind) for name, (output, rows) in some.items()}
        for name, value in rank_models(panel, kinds):
            output, rows = some[name]
            margin = partial(
                resemblance_margin, ours.output.kind, min(ours.output.classes, output.classes)
            )
            # Most are strangers, whose interval and whose own margin need not be known.
            if not value > margin(linearity=linearity).value:
                continue
            other = Panel.of(rows, output.kind)
            measured = compare(panel, other)
            least = margin(linearity=max(linearity, other.linearity)).value
            if measured is not None and measured.low > least:
                found[name] = measured
    return found


def _same_panel(*asked: Fingerprint | Outline) -> bool:
    """Whether models of the same inputs were all asked one panel."""
    panels = {(one.seed, len(one.panel_answers)) for one in asked}
    return len(panels) == 1 and len(asked[0].panel_answers) > 0
