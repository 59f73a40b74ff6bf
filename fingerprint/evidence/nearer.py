"""Which of two registered models is a suspect nearer to, on the panel that both were asked?

A panel never shows that a suspect descends from one of them: whoever was trained on the same data
may lie nearer to a model than that model's own parent does. It shows that a relative explains the
answers as well, and then they say nothing of this model alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fingerprint.evidence.resemblance import Alignment, Panel, paired_difference

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Nearer"]


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
        asked = [one for one in found if one is not None and len(one.panel_answers)]
        if len(asked) < 2 or len({(one.seed, len(one.panel_answers)) for one in asked}) > 1:
            return None
        given = self._answers.of(asked[0].panel)
        suspect = Panel.of(given, self._answers.kind, floor=self._answers.floor)
        first, second = (Panel.of(one.panel_answers, one.output.kind) for one in asked)
        return paired_difference(suspect, first, second)
