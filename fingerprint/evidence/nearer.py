"""Which registered models arrange the panel alike, and which of two is a suspect nearer to?

A panel never shows that a suspect descends from one of them: whoever was trained on the same data
may lie nearer to a model than that model's own parent does. It shows that a relative explains the
answers as well, and then they say nothing of this model alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from fingerprint.evidence.resemblance import (
    Alignment,
    Panel,
    compare,
    paired_difference,
    rank_models,
    resemblance_margin,
)

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint, Outline

__all__ = ["Nearer", "clearly_alike"]

_AT_ONCE = 256


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
