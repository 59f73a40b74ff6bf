"""One to many: which candidates are worth asking their probes, by what the panel says of all.

The panel is the same for every model of a registry and is asked once. Of many candidates only the
nearest are then asked their own probes, and all that resemble the suspect more than chance allows.
Only small inputs and few classes are left out so, and nobody by labels alone; what that costs
``benchmarks.many`` measures (``--parts floor``). A large network's fine-tune with a new head
arranges the panel no more like its source than a stranger does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from scipy.stats import beta

from fingerprint.evidence.resemblance import Panel, rank_models
from fingerprint.questions import Questions, panel_questions, questions_for
from fingerprint.shelf import outlines_of, taken

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.network.spec import AnswerKind, InputSpec
    from fingerprint.probes.probe import Fingerprint

__all__ = ["FLOOR", "NEAREST", "Narrowing", "can_narrow", "narrowing_note"]

NEAREST = 8
"""Candidates that are asked their probes in any case, if they have any; of fewer, all are."""
FLOOR = 0.1
"""Resemblance above which nobody is left out."""
_COPIES = 277
_FALLEN: Mapping[AnswerKind, int] = {"logits": 11, "probabilities": 12, "top-k": 13}
"""Of so many copies of 32-pixel networks, how many lie below the floor (``benchmarks.many``)."""
_MOST_INPUTS = 3 * 64 * 64
_MOST_CLASSES = 20
"""Models that take or give more are asked in any case."""


class Narrowing:
    """Chooses among candidates by the suspect's answers to their panel.

    Args:
        candidates: Their fingerprints, by name.
        always: Those that are asked in any case.

    Attributes:
        first: The panel, to be asked first; None where all candidates are asked.
        ruled_out: Names that were left out, once :meth:`following` was called.
    """

    def __init__(self, candidates: Mapping[str, Fingerprint], always: Collection[str]) -> None:
        self._candidates = candidates
        outlines = outlines_of(candidates)
        some = next(iter(outlines.values()))
        same = {
            name: one
            for name, one in outlines.items()
            if name not in always
            and len(one.panel_answers) == len(some.panel_answers) > 0
            and one.seed == some.seed
            and one.output.classes <= _MOST_CLASSES
        }
        self._open = same if can_narrow(some.input, len(same)) else {}
        self._kept: Mapping[str, Fingerprint] | None = None
        self.first = panel_questions(some) if self._open else None
        self.ruled_out: tuple[str, ...] = ()

    @property
    def kept(self) -> Mapping[str, Fingerprint]:
        """The candidates that were not left out."""
        if self._kept is None:
            self._kept = taken(
                self._candidates, [one for one in self._candidates if one not in self.ruled_out]
            )
        return self._kept

    def following(self, answers: Answers) -> Questions:
        """Returns what to go on with, and settles who is ruled out."""
        if answers.kind == "labels":
            return questions_for(self.kept)
        some = next(iter(self._open.values()))
        suspect = Panel.of(answers.of(some.panel), answers.kind, floor=answers.floor)
        found = rank_models(
            suspect,
            {name: (one.panel_answers, one.output.kind) for name, one in self._open.items()},
        )
        nearest = [name for name, _ in found if self._open[name].probes][:NEAREST]
        # What the panel says nothing of is not ruled out by it.
        self.ruled_out = tuple(
            sorted(name for name, value in found if value <= FLOOR and name not in nearest)
        )
        return questions_for(self.kept)


def can_narrow(input: InputSpec, count: int) -> bool:
    """Whether any of so many candidates of these inputs may be left out."""
    return count > NEAREST and input.size <= _MOST_INPUTS


def narrowing_note(names: Collection[str], kind: AnswerKind) -> str:
    """Says how many candidates the panel ruled out, and how often that misses one.

    Args:
        names: The candidates that were left out.
        kind: What the suspect's answers are.
    """
    fallen = _FALLEN[kind]
    most = float(beta.ppf(0.95, fallen + 1, _COPIES - fallen))
    return (
        f"{len(names)} models were ruled out by the panel and not asked their probes; in the "
        f"benchmark {fallen} of {_COPIES} copies fell that low, so at most {most:.0%} do (95 %)"
    )
