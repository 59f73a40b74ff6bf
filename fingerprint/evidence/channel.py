"""What lies between us and the model: does it take something away from what a suspect is asked?

::

    channel = channel_of(answers, spec, seed, {"ours": fingerprint})
    channel.lost        # ("faint", "chroma"): it is JPEG
    channel.unclear("ours")     # why a copy of ours may still have been shown something else

Twins are pictures that differ in one thing only (:mod:`fingerprint.probes.twins`). A suspect that
answers the mosaics differently and every mosaic like its twin is not shown what they differ in: a
network that is reacts to it, if only a little. That needs nobody to compare with.

A change of size only weakens detail. A network that reacts little to fine detail, and one that is
shown little of it, cannot be told apart; but if the suspect reacts to it nearly as a registered
model does, or more, then it is no copy of that model behind something that weakens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.distances import answer_distance, answered
from fingerprint.probes.twins import PAIRS, SIDES, twin_inputs, twin_kinds
from fingerprint.text import clean, listed

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.network.spec import AnswerKind, InputSpec
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Channel", "channel_of"]

FINE = "fine"
_LIMITS: Mapping[str, tuple[float, float]] = {
    "faint": (0.0005, 0.0015),
    "chroma": (0.005, 0.08),
    "colour": (0.03, 0.1),
    "border": (0.0005, 0.005),
    FINE: (0.003, 0.012),
}
"""Reactions, as a share of what lies between the answers to two mosaics, up to which a kind is lost
and from which on it is kept; between the two nothing is said. ``benchmarks.channel`` shows what
networks reach behind each channel and behind none."""
_AS_FINE = 0.5
"""Share of a model's own reaction to fine detail from which on a suspect is no copy of it behind a
change of size that matters: of copies at 32 pixels that were called independent behind one, none
showed more than 0.3 (``benchmarks.channel``)."""
_GRADED = 8.0
"""How many times as far as faint detail, of a thirtieth of its strength, fine detail must move a
model's own answers for a weakened one to move them less. Those of ImageNet at 224 pixels are moved
as far by either: a copy of one reacted the same behind a change of size."""
_LEAST_DIFFERENT = 16
"""How many times their precision answers to two mosaics must differ by to say anything."""
_NAMES: Mapping[str, str] = {
    "colour": "colour (a grey copy)",
    "border": "the border (cropping, or resizing and cropping)",
    "faint": "faint detail (JPEG)",
    "chroma": "the colour of single pixels (chroma subsampling, as in JPEG)",
    FINE: "fine detail (resizing or blurring)",
}
_EATEN = "the probes do not survive what happens before the model"


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What becomes of twins on their way to a suspect's model.

    Attributes:
        reactions: By kind, how far the twins move its answers, as a share of the distance between
            the answers to two mosaics; of the border, along the side where that is most.
        lost: Kinds that do not reach the model.
        kept: Kinds that do.
        fine: By candidate, the reaction to fine detail as a share of the candidate's own; a
            candidate whose own is not known is left out.
        blunt: Candidates that the faintest detail moves about as far as strong one, so that their
            reaction does not show whether something weakens it.
        missing: Why nothing can be said; empty if something can.
        queries: How many inputs that took.
    """

    reactions: Mapping[str, float] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    fine: Mapping[str, float] = field(default_factory=dict)
    blunt: tuple[str, ...] = ()
    missing: str = ""
    queries: int = 0

    @property
    def eaten(self) -> str:
        """What does not reach the model, in words; empty if nothing is known to be lost."""
        implied = self.lost[:1] != ("chroma",) or len(self.lost) > 1
        named = [
            what
            for kind, what in _NAMES.items()
            if kind in self.lost and not (kind == "chroma" and implied)
        ]
        return f"{_EATEN}, which takes away {' and '.join(named)}" if named else ""

    @property
    def known(self) -> tuple[str, ...]:
        """Kinds of which it is known whether they reach the model."""
        return (*self.lost, *self.kept)

    def unclear(self, name: str) -> str:
        """Why it is not known that nothing is lost, in words; empty if it is."""
        if self.missing:
            return self.missing
        kinds = [kind for kind in self.reactions if kind not in self.known]
        if kinds:
            return f"its answers do not show whether {listed(kinds)} reaches the model"
        if name in self.blunt:
            return (
                f"the faintest detail moves {clean(name)} as far as any: whether pictures are "
                "resized on the way cannot be seen"
            )
        if name not in self.fine:
            return (
                f"how much fine detail moves {clean(name)} is not known; renew it: 'fp register "
                f"--again {clean(name)}'"
            )
        if self.fine[name] < _AS_FINE:
            return (
                f"fine detail moves its answers only {self.fine[name]:.2g} times as much as those "
                f"of {clean(name)}: it is another network, or is shown resized pictures"
            )
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "reactions": dict(self.reactions),
            "lost": list(self.lost),
            "kept": list(self.kept),
            "fine": dict(self.fine),
            "blunt": list(self.blunt),
            "missing": self.missing,
            "queries": self.queries,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Channel:
        """Builds it from :meth:`to_dict`'s values."""
        return cls(
            reactions={str(kind): float(value) for kind, value in values["reactions"].items()},
            lost=tuple(map(str, values["lost"])),
            kept=tuple(map(str, values["kept"])),
            fine={str(name): float(value) for name, value in values["fine"].items()},
            blunt=tuple(map(str, values["blunt"])),
            missing=str(values["missing"]),
            queries=int(values["queries"]),
        )


def channel_of(
    answers: Answers, spec: InputSpec, seed: str, candidates: Mapping[str, Fingerprint]
) -> Channel:
    """Says from answers to twins what reaches a suspect's model.

    Args:
        answers: To the twins of a registry.
        spec: What the suspect takes; there are twins of it.
        seed: The registry's.
        candidates: Whom it is compared with.
    """
    given = answers.of(twin_inputs(spec, seed))
    if not answered(given, answers.output.kind).all():
        return Channel(missing="twins were not all answered", queries=answers.queries)
    kinds = twin_kinds(spec)
    floor = answers.precision.least_distance(given)
    measured = _reactions(given, kinds, answers.kind, answers.floor)
    if measured is None or measured.apart <= _LEAST_DIFFERENT * floor:
        return Channel(
            missing="its answers to twins are too coarse or too much alike to tell what is lost",
            queries=answers.queries,
        )
    least = floor / measured.apart
    found = measured.of
    # An endpoint of few classes or decimals cannot be told from one that eats everything.
    lost = [kind for kind in kinds if max(found[kind], least) <= _LIMITS[kind][0]]
    kept = [kind for kind in kinds if measured.least[kind] >= max(_LIMITS[kind][1], 2 * least)]
    own = {
        name: _reactions(one.twin_answers, kinds, one.output.kind, None)
        for name, one in candidates.items()
        if len(one.twin_answers) == len(given)
    }
    known = {name: one.of for name, one in own.items() if one is not None and one.of[FINE] > 0}
    return Channel(
        reactions=found,
        lost=tuple(lost),
        kept=tuple(kept),
        fine={name: found[FINE] / of[FINE] for name, of in known.items()},
        blunt=tuple(name for name, of in known.items() if of[FINE] < _GRADED * of["faint"]),
        queries=answers.queries,
    )


@dataclass(frozen=True)
class _Reactions:
    """How far twins move answers.

    Attributes:
        of: By kind, as a share of ``apart``; along the side of the border where that is most.
        least: The same, along the side where that is least: some networks do not look at the last
            row, and only a crop takes all sides.
        apart: Mean distance between the answers to two mosaics.
    """

    of: Mapping[str, float]
    least: Mapping[str, float]
    apart: float


def _reactions(
    rows: NDArray[np.floating], kinds: tuple[str, ...], kind: AnswerKind, floor: float | None
) -> _Reactions | None:
    """Measures reactions in answers ``((1 + kinds) * PAIRS, classes)``; None if all are alike."""
    plain, *twins = np.split(np.asarray(rows, np.float64), len(kinds) + 1)
    first, second = np.triu_indices(PAIRS, 1)
    apart = float(answer_distance(plain[first], plain[second], kind, floor=floor).mean())
    if not apart > 0:
        return None
    moved = {
        one: answer_distance(given, plain, kind, floor=floor) / apart
        for one, given in zip(kinds, twins, strict=True)
    }
    typical = {one: float(np.median(values)) for one, values in moved.items()}
    sides = moved["border"].reshape(-1, SIDES).mean(axis=0)
    return _Reactions(
        of={**typical, "border": float(sides.max())},
        least={**typical, "border": float(sides.min())},
        apart=apart,
    )
