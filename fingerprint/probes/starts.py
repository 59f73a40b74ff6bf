"""Which start noise suits a model: solved for a few probes, judged on simulated modifications.

Fine-tunes and quantised copies react less to the probes than independent models do, and how
much less depends on the noise a probe starts from: black-and-white pixels for small images,
uniform noise for large ones. No rule by size holds for all networks, so the model is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.model import Model
from fingerprint.probes.kinds import NetworkProbes
from fingerprint.probes.probe import ProbeRequest
from fingerprint.probes.screening import measure
from fingerprint.probes.simulated import MILD, simulated_modifications
from fingerprint.probes.solving import Solved, Solver
from fingerprint.progress import Progress

__all__ = ["CHOICES", "StartChoice", "choose_start"]

CHOICES = ("binary", "uniform")
"""Starts that are compared. Blocks separate some networks better still, but bring the hardest
independent pairs closer, and simulated modifications cannot see that."""


@dataclass(frozen=True, eq=False)
class StartChoice:
    """The start that separates best.

    Attributes:
        start: Its name.
        comparison: Geometric mean harm ratio on the simulated modifications, by start.
        pilot: The probes solved for it, one for each base, draw 0.
        passes: Passes spent on all kinds.
    """

    start: str
    comparison: Mapping[str, float]
    pilot: tuple[Solved, ...]
    passes: float


def choose_start(
    model: Model, seed: str, bases: NDArray[Any], kind: NetworkProbes, progress: Progress
) -> StartChoice:
    """Compares the kinds of start noise on one probe for each base.

    Args:
        model: The source.
        seed: Registry seed.
        bases: Public bases, shape ``(B, *input.shape)``.
        kind: Probes solved for the model alone.
        progress: Called as the work goes on.

    Returns:
        The start with the smallest harm ratio on simulated modifications.
    """
    modified = simulated_modifications(model, MILD)
    comparison: dict[str, float] = {}
    pilots: dict[str, tuple[Solved, ...]] = {}
    requests = [ProbeRequest(kind.name, base, 0) for base in range(len(bases))]
    for place, start in enumerate(CHOICES):
        progress("choosing the start", place, len(CHOICES))
        solver = Solver(model, seed=seed, start=start, bases=bases, kinds=(kind,))
        pilots[start] = solver.solve(requests)
        harmless = np.stack([solved.harmless for solved in pilots[start]])
        logs: list[float] = []
        for copy in modified:
            ratios = measure(copy, bases, harmless, requests).harms.ratios
            logs.extend(np.log(ratios[np.isfinite(ratios)]))
        comparison[start] = float(np.exp(np.mean(logs))) if logs else 1.0
    best = min(comparison, key=lambda start: comparison[start])
    passes = sum(solved.passes for pilot in pilots.values() for solved in pilot)
    return StartChoice(start=best, comparison=comparison, pilot=pilots[best], passes=passes)
