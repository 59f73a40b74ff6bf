"""Where a model's probes are worth solving for: a few of each depth, judged on simulated kin.

A fine-tuned copy has early layers that are nearly the source's and a head that is not; a network
that shares nothing reacts to a δ as to the same δ turned. How far apart the two are depends on the
depth, and in the null space on the contrast that a probe starts from: too late, and what lies
before has moved; too early, and there is no room for a δ at all. No rule by size holds for all
networks, so the model is asked, with four probes for each choice and fewer passes than the
fingerprint itself is given.

Kin and strangers are compared where the caller says, in their answers or in what the last layer
reads: a fine-tuned copy has a new one.

A copy with fresh weights is a stranger that learned nothing. Registered references are real ones,
and come nearer: what learned on like pictures ignores like things in its early layers. They cost
forward passes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import FingerprintError
from fingerprint.network.depths import FEATURES, Depth, depths_of
from fingerprint.network.model import Model
from fingerprint.probes.kinds import FeatureProbes, LinearProbes, ProbeKind
from fingerprint.probes.probe import ProbeRequest
from fingerprint.probes.screening import FLOOR, measure
from fingerprint.probes.simulated import drifted, stranger
from fingerprint.probes.solving import Solved, Solver
from fingerprint.probes.turns import chosen_kinds, is_large, turns_of
from fingerprint.progress import Progress
from fingerprint.spaces.subspace import Subspace

__all__ = ["CONTRASTS", "Pilot", "Tried", "early_kinds", "judged", "pilot", "told_apart"]

CONTRASTS = (16 / 255, 32 / 255)
"""Contrasts that the null space is tried at. Depths that are solved for are tried at the first
alone: their probes are enlarged, whatever they start from."""
_PROBES = 4
_TURNS = 2
"""Of each kind."""
_WEAKER = 0.5
"""Share of what turns do in the median that one must do to be a control."""
_PASSES = 20
_SHARES = (0.1, 0.2, 0.4)
"""Depths tried: those whose share of a pass is nearest to these. Fine-tuning moves what lies
behind, and passes to it cost more."""
_LATEST = 0.5
_NEAREST_STRANGER = 0.7
"""Harm ratio on a stranger below which a depth is too early: there everybody ignores what is left
of δ."""


@dataclass(frozen=True)
class Tried:
    """What four probes of one kind showed.

    Attributes:
        depth: Name of the depth.
        share: Of a whole pass that a pass to it costs.
        contrast: Of their starts.
        source: Geometric mean harm ratio on the model itself, at the end that is judged.
        kin: On a copy whose weights and statistics drifted.
        stranger: On a copy with fresh weights; the least of those asked.
        residual: Median relative residual.
        passes: Passes through the whole network spent.
        references: On each reference that counts, in the order of :attr:`Pilot.references`.
    """

    depth: str
    share: float
    contrast: float
    source: float
    kin: float
    stranger: float
    residual: float
    passes: float
    references: tuple[float, ...] = ()

    @property
    def score(self) -> float:
        """How far kin stay below the nearest stranger, by logarithms, less the work.

        A depth that costs a whole pass has to separate by a factor of e more than one for free.
        """
        nearest = min(self.stranger, *self.references, 1.0)
        apart = np.log(nearest) - np.log(max(self.kin, self.source))
        return float(apart - self.share)

    @property
    def usable(self) -> bool:
        """Whether strangers are told from kin here at all.

        Whether there is room for a δ, the fresh copy says alone: real strangers that learned alike
        fall to 0.5 at depths that are not too early.
        """
        return self.stranger >= _NEAREST_STRANGER and self.score > 0

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        asked = {"references": list(self.references)} if self.references else {}
        return {
            "depth": self.depth,
            "share": self.share,
            "contrast": self.contrast,
            "source": self.source,
            "kin": self.kin,
            "stranger": self.stranger,
            "residual": self.residual,
            "passes": self.passes,
            **asked,
        }


@dataclass(frozen=True, eq=False)
class Pilot:
    """What was found out, and where to solve.

    Attributes:
        tried: Everything that was compared.
        best: The kind to solve early probes with; None where no early depth tells anything.
        turns: Turns that the model tells from δ itself, the best controls first.
        passes: Passes through the whole network spent.
        references: Weights digests of the references that were strangers here.
        like_kin: Of those that were not, because they ignore the probes as kin do.
    """

    tried: tuple[Tried, ...]
    best: ProbeKind | None
    turns: tuple[int, ...]
    passes: float
    references: tuple[str, ...] = ()
    like_kin: tuple[str, ...] = ()


def early_kinds(
    model: Model, depths: Sequence[Depth], space: Subspace | None
) -> tuple[ProbeKind, ...]:
    """Returns the early depths worth trying, and the null space at each contrast.

    Args:
        model: The source.
        depths: Its depths.
        space: Null space of its first affine segment; None where there is none.
    """
    early = [depth for depth in depths if depth.share <= _LATEST]
    chosen = {
        min(early, key=lambda depth: abs(depth.share - share)).name for share in _SHARES if early
    }
    linear = (
        ()
        if space is None
        else [LinearProbes(space, model.input, contrast=contrast) for contrast in CONTRASTS]
    )
    solved = (
        FeatureProbes(depth, contrast=CONTRASTS[0], passes=_PASSES)
        for depth in early
        if depth.name in chosen
    )
    return (*linear, *solved)


def judged(depths: Sequence[Depth]) -> Depth:
    """Returns what the pilot looks at: what the last layer reads of large inputs, else the answers.

    Four probes on a few classes' answers chose the depth of a fine-tune at 224 pixels by luck:
    three registrations took three. Up to 64 pixels both choose equally well (settings half of
    ``benchmarks.detection``), so what is measured there stays as it is.
    """
    read = [depth for depth in depths if depth.name == FEATURES]
    return read[0] if read and is_large(depths[-1].input.shape) else depths[-1]


def pilot(
    end: Depth,
    kinds: Sequence[ProbeKind],
    *,
    seed: str,
    bases: NDArray[Any],
    progress: Progress,
    references: Mapping[str, Model] | None = None,
) -> Pilot:
    """Solves a few probes of each kind and judges them on simulated kin and strangers.

    Args:
        end: What is judged of the source, as :func:`judged` says.
        kinds: What to compare.
        seed: Registry seed.
        bases: Public bases, shape ``(B, *input.shape)``; the first few are used.
        progress: Called as the work goes on.
        references: Further strangers by name, each looked up once.
    """
    bases, model = bases[:_PROBES], end.model
    others = {"kin": end.of(drifted(model, seed)), "stranger": end.of(stranger(model, seed))}
    tried: list[_Solved] = []
    for place, kind in enumerate(kinds):
        progress("choosing depths", place, len(kinds))
        solved = _tried(end, others, kind, seed=seed, bases=bases)
        if solved is not None:
            tried.append((solved[0], kind, solved[1]))
    told = _asked(references or {}, tried, bases, progress)
    # As a stranger, kin that nobody declared would leave no depth at all.
    like_kin = tuple(name for name, ratios in told.items() if np.median(ratios) < FLOOR)
    strangers = tuple(name for name in told if name not in like_kin)
    tried = _beside(tried, told, strangers)
    best = _best(tried)
    shown = best or max(tried, key=lambda one: one[0].score, default=None)
    return Pilot(
        tried=tuple(one for one, _, _ in tried),
        best=best[1] if best else None,
        turns=told_apart(end, bases, shown[2]) if shown else _every_turn(model),
        passes=sum(one.passes for one, _, _ in tried),
        references=strangers,
        like_kin=like_kin,
    )


_Solved = tuple[Tried, ProbeKind, NDArray[Any]]
"""What a kind showed, the kind, and its probes."""


def _best(tried: Sequence[_Solved]) -> _Solved | None:
    usable = [one for one in tried if one[0].usable]
    return max(usable, key=lambda one: one[0].score, default=None)


def _beside(
    tried: Sequence[_Solved], told: Mapping[str, list[float]], strangers: Sequence[str]
) -> list[_Solved]:
    """Says of each kind what its probes do to the references that are strangers."""
    return [
        (replace(one, references=tuple(told[name][place] for name in strangers)), kind, harmless)
        for place, (one, kind, harmless) in enumerate(tried)
    ]


def _asked(
    references: Mapping[str, Model],
    tried: Sequence[_Solved],
    bases: NDArray[Any],
    progress: Progress,
) -> dict[str, list[float]]:
    """Returns, by weights digest, what the probes of each kind do to each reference."""
    told: dict[str, list[float]] = {}
    for place, reference in enumerate(references.values() if tried else ()):
        progress("asking references", place, len(references))
        end = judged(depths_of(reference))
        told[reference.digest] = [_told_by(end, bases, harmless) for _, _, harmless in tried]
    return told


def _told_by(end: Depth, bases: NDArray[Any], harmless: NDArray[Any]) -> float:
    """Returns the harm ratio on a reference; 1 where it answers nothing finite."""
    try:
        return _ratio(end, bases, harmless)
    except FingerprintError:
        return 1.0


def told_apart(
    model: Model | Depth, bases: NDArray[Any], harmless: NDArray[Any]
) -> tuple[int, ...]:
    """Returns the turns that a model tells from δ itself, the best controls first.

    A network that was trained on mirrored pictures may ignore a mirrored δ as it ignores δ: that
    turn moves it much less than others do, and is no control.

    Args:
        model: The source, or a depth of it.
        bases: Shape ``(B, *input.shape)``.
        harmless: A probe for each of them, the same shape.

    Returns:
        All turns where none stands out, or where nothing moves the model.
    """
    every = _every_turn(model)
    orbits = measure(model, bases, harmless, range(len(bases)), every).orbits
    logs = orbits.logs[orbits.moved, 1:]
    if not len(logs):
        return every
    moves = logs.mean(axis=0)
    return tuple(turn for turn in every if moves[turn] >= np.median(moves) + np.log(_WEAKER))


def _every_turn(model: Model | Depth) -> tuple[int, ...]:
    return tuple(range(len(turns_of(model.input.shape))))


def _tried(
    end: Depth,
    others: dict[str, Depth],
    kind: ProbeKind,
    *,
    seed: str,
    bases: NDArray[Any],
) -> tuple[Tried, NDArray[Any]] | None:
    """Judges one kind, and returns its probes; None where it cannot be solved for this model."""
    requests = [ProbeRequest(kind.name, base, 0) for base in range(len(bases))]
    try:
        solved = Solver(end.model, seed=seed, bases=bases, kinds=(kind,)).solve(requests)
    except FingerprintError:
        # A depth may give no gradient, or nothing finite, for some base.
        return None
    harmless = np.stack([one.harmless for one in solved])
    ratios = {"source": _ratio(end, bases, harmless)}
    for name, other in others.items():
        try:
            ratios[name] = _ratio(other, bases, harmless)
        except FingerprintError:
            # Weights drawn anew or moved may answer nothing finite; then they show nothing.
            ratios[name] = ratios["source"] if name == "kin" else 1.0
    tried = Tried(
        depth=kind.name,
        share=kind.share,
        contrast=kind.contrast,
        source=ratios["source"],
        kin=ratios["kin"],
        stranger=ratios["stranger"],
        residual=float(np.median([one.residual for one in solved])),
        passes=_spent(solved),
    )
    return tried, harmless


def _ratio(end: Depth, bases: NDArray[Any], harmless: NDArray[Any]) -> float:
    """Returns the geometric mean harm ratio, 1 where nothing moves."""
    kinds = chosen_kinds(end.input.shape, _every_turn(end))
    turns = [turn for kind in kinds for turn in kind[:_TURNS]]
    orbits = measure(end, bases, harmless, range(len(bases)), turns).orbits
    ratios = orbits.ratios[orbits.moved]
    return float(np.exp(np.log(ratios).mean())) if len(ratios) else 1.0


def _spent(solved: Sequence[Solved]) -> float:
    return sum(one.passes for one in solved)
