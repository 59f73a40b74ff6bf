"""Which registered models arrange the panel alike, and which of two is a suspect nearer to?

A panel never shows that a suspect descends from one of them: whoever was trained on the same data
may lie nearer to a model than that model's own parent does. It shows that a relative explains the
answers as well, and then they say nothing of this model alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from fingerprint.evidence.resemblance import (
    Alignment,
    Panel,
    compare,
    paired_difference,
    rank,
    resemblance_margin,
)

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Nearer", "clearly_alike"]


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
    ours: Fingerprint, others: Iterable[tuple[str, Fingerprint]]
) -> dict[str, Alignment]:
    """Returns who arranges the panel more like a model than independent models do.

    Args:
        ours: The model's fingerprint.
        others: By name, those of others, which are let go of one after another; whoever was asked
            another panel is passed over.

    Returns:
        Those whose resemblance lies above its margin with its whole interval.
    """
    found: dict[str, Alignment] = {}
    if not len(ours.panel_answers):
        return found
    kind, panel = ours.output.kind, Panel.of(ours.panel_answers, ours.output.kind)
    linearity = panel.linearity
    for name, one in others:
        if not _same_panel(ours, one):
            continue
        other = Panel.of(one.panel_answers, one.output.kind)
        margin = resemblance_margin(
            kind,
            min(ours.output.classes, one.output.classes),
            linearity=max(linearity, other.linearity),
        ).value
        # Most are strangers, and their value alone takes a fifth of the time of an interval.
        ((_, value),) = rank(panel, {name: one.panel_answers}, one.output.kind)
        measured = compare(panel, other) if value > margin else None
        if measured is not None and measured.low > margin:
            found[name] = measured
    return found


def _same_panel(*asked: Fingerprint) -> bool:
    """Whether models of the same inputs were all asked one panel."""
    panels = {(one.seed, len(one.panel_answers)) for one in asked}
    return len(panels) == 1 and len(asked[0].panel_answers) > 0
