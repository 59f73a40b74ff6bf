"""Candidates: probes that were solved and measured, and whether they hold up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint.probes.extraction.plan import Plan
from fingerprint.probes.keeping import Keeper
from fingerprint.probes.kinds import ProbeKind
from fingerprint.probes.probe import Probe, ProbeRequest
from fingerprint.probes.screening import FLOOR, measure
from fingerprint.probes.solving import Solved, Solver
from fingerprint.progress import Progress

__all__ = ["SOURCE_CEILING", "Candidate", "Drawn", "candidates"]

SOURCE_CEILING = 0.5
"""Harm ratio on the source above which a probe says too little about it."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A probe that was measured, for one place of the fingerprint."""

    request: ProbeRequest
    probe: Probe
    distance: float  # least harm ratio over the other models

    @property
    def usable(self) -> bool:
        """Whether it is harmless for the source."""
        return self.probe.harm_ratio <= SOURCE_CEILING

    @property
    def good(self) -> bool:
        """Whether it need not be drawn again."""
        return self.usable and self.distance >= FLOOR

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Candidates that hold for the source first, then the farthest from the others."""
        return (self.usable, min(self.distance, FLOOR), -self.probe.harm_ratio)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Candidates, and what finding them took.

    Attributes:
        kept: One for each place.
        passes: Passes through the whole network spent at each depth, on those that were not
            kept as well.
        redrawn: How many were drawn again.
        given_up: Other models that probes could not be told apart from.
    """

    kept: tuple[Candidate, ...]
    passes: Mapping[str, float]
    given_up: frozenset[str]
    redrawn: int = 0

    @property
    def useless(self) -> set[str]:
        """Depths half of whose probes do not hold for the source."""
        kinds = {kept.request.kind for kept in self.kept}
        usable = {
            kind: [kept.usable for kept in self.kept if kept.request.kind == kind] for kind in kinds
        }
        return {kind for kind, held in usable.items() if sum(held) < len(held) / 2}


def candidates(
    plan: Plan,
    keeper: Keeper,
    requests: Sequence[ProbeRequest],
    given_up: frozenset[str],
    progress: Progress,
) -> Drawn:
    """Solves requests, and measures what they do to the model and the others."""
    solver = Solver(plan.model, seed=plan.seed, bases=plan.bases, kinds=plan.kinds)
    solved = keeper.solved(solver, requests, progress)
    kept: list[Candidate] = []
    spent: dict[str, float] = {}
    for kind in plan.kinds:
        own = [one for one in solved if one.request.kind == kind.name]
        spent[kind.name] = sum(one.passes for one in own)
        if own:
            measured, given_up = _measured(plan, kind, own, given_up)
            kept += measured
    order = {request: place for place, request in enumerate(requests)}
    kept.sort(key=lambda one: order[one.request])
    return Drawn(tuple(kept), spent, given_up)


def _measured(
    plan: Plan, kind: ProbeKind, solved: Sequence[Solved], given_up: frozenset[str]
) -> tuple[list[Candidate], frozenset[str]]:
    """Measures what was solved of one kind; returns whom it could not be told apart from, too."""
    harmless = np.stack([one.harmless for one in solved])
    rows = [one.request.base for one in solved]
    measured = measure(plan.model, plan.bases, harmless, rows, plan.turns)
    screened = plan.screen.screened(plan.bases, harmless, rows, plan.turns, given_up)
    distances = screened.least
    if kind.speaks_for == "individual":
        # Kin that fall for individual probes are no reason to give them up.
        near = plan.kin.screened(plan.bases, harmless, rows, plan.turns, frozenset())
        distances = np.minimum(distances, near.least)
    found = [
        Candidate(
            request=one.request,
            distance=float(distances[place]),
            probe=Probe(
                kind=kind.name,
                base=one.request.base,
                draw=one.request.draw,
                harmless=one.harmless,
                answer=measured.answers[place],
                control_answers=measured.control_answers[place],
                residual=one.residual,
                harm_ratio=float(measured.orbits.ratios[place]),
                converged=one.converged,
            ),
        )
        for place, one in enumerate(solved)
    ]
    return found, screened.given_up
