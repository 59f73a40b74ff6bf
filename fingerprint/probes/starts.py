"""Which start noise suits a model: solved for a few probes, judged on simulated derivatives.

Fine-tunes and quantised copies react less to the probes than independent models do, and how
much less depends on the noise a probe starts from: black-and-white pixels for small images,
uniform noise for large ones. No rule by size holds for all networks, so the model is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.model import Model
from fingerprint.probes.derivatives import MILD, simulated_derivatives
from fingerprint.probes.screening import measure
from fingerprint.probes.solving import Candidates, Solver, Wish
from fingerprint.progress import Progress

__all__ = ["CHOICES", "StartChoice", "choose_start"]

CHOICES = ("binary", "uniform")
"""Starts that are compared. Blocks separate some networks better still, but bring the hardest
independent pairs closer, and simulated derivatives cannot see that."""


@dataclass(frozen=True, eq=False)
class StartChoice:
    """The start that separates best.

    Attributes:
        start: Its name.
        comparison: Geometric mean harm ratio on the simulated derivatives, by start.
        pilot: The probes solved for it, one for each base, draw 0.
        passes: Passes spent on all kinds.
    """

    start: str
    comparison: dict[str, float]
    pilot: Candidates
    passes: float


def choose_start(model: Model, seed: str, bases: NDArray[Any], progress: Progress) -> StartChoice:
    """Compares the kinds of start noise on one probe for each base.

    Args:
        model: The source.
        seed: Registry seed.
        bases: Public bases, shape ``(B, *input.shape)``.
        progress: Called as the work goes on.

    Returns:
        The start with the smallest harm ratio on simulated derivatives.
    """
    derivatives = simulated_derivatives(model, MILD)
    comparison: dict[str, float] = {}
    pilots: dict[str, Candidates] = {}
    wishes = [Wish("network", base, 0) for base in range(len(bases))]
    places = [wish.symmetry for wish in wishes]
    for place, start in enumerate(CHOICES):
        progress("choosing the start", place, len(CHOICES))
        solved = Solver(model, seed=seed, start=start, bases=bases).solve(wishes)
        pilots[start] = solved
        logs: list[float] = []
        for derivative in derivatives:
            ratios = measure(derivative, bases, solved.harmless, places).ratios
            logs.extend(np.log(ratios[np.isfinite(ratios)]))
        comparison[start] = float(np.exp(np.mean(logs))) if logs else 1.0
    best = min(comparison, key=lambda start: comparison[start])
    passes = sum(float(pilot.passes.sum()) for pilot in pilots.values())
    return StartChoice(start=best, comparison=comparison, pilot=pilots[best], passes=passes)
