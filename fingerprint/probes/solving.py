"""Solving probes: from a committed start to an input that can be sent.

    solver = Solver(model, seed=seed, bases=bases, kinds=(FeatureProbes(depth, contrast=0.1),))
    solver.solve(requests)     # a Solved for each, in their order

What a probe becomes depends on its request alone: not on which others are wanted, in which order,
nor on how many are solved at once, but for rounding. A processor may sum a batch of another size
in another order (it does for a single input), and the solve carries that on over its steps, so that
the probe comes out some per cent of δ elsewhere: as good a solution, near the same start. A verdict
could move with it only where a harm ratio lies that close to the limit for the source, to the
screening floor or to a margin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.network.model import Model
from fingerprint.network.run import to_inputs, to_tensor
from fingerprint.probes.bases import start_delta
from fingerprint.probes.kinds import ProbeKind
from fingerprint.probes.probe import ProbeRequest
from fingerprint.progress import Progress, part_of, silent

__all__ = ["Solved", "Solver"]

_CHUNK_SCALARS = 2**21
_LARGEST_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Solved:
    """What became of one request.

    Attributes:
        request: What was wanted.
        harmless: The input as it is sent, shape ``input.shape``.
        residual: Relative residual before rounding.
        converged: Whether the solver met its tolerance.
        passes: Forward-and-backward passes through the whole network spent.
    """

    request: ProbeRequest
    harmless: NDArray[Any]
    residual: float
    converged: bool
    passes: float


class Solver:
    """Solves requests for one model and one set of bases.

    Args:
        model: The source.
        seed: Registry seed.
        bases: Public bases, shape ``(B, *input.shape)``.
        kinds: The kinds of probe that can be asked for.
    """

    def __init__(
        self, model: Model, *, seed: str, bases: NDArray[Any], kinds: Sequence[ProbeKind]
    ) -> None:
        self.model = model
        self.seed = seed
        self.bases = bases
        self.kinds: Mapping[str, ProbeKind] = {kind.name: kind for kind in kinds}

    def solve(
        self, requests: Sequence[ProbeRequest], progress: Progress = silent
    ) -> tuple[Solved, ...]:
        """Solves requests, several of one kind at a time; returns one result for each."""
        found: dict[ProbeRequest, Solved] = {}
        for kind in self.kinds:
            same = [request for request in requests if request.kind == kind]
            for chunk in _chunks(same, self._most_of(kind)):
                report = part_of(progress, len(found), len(chunk), len(requests))
                for solved in self._solve_chunk(self.kinds[kind], chunk, report):
                    found[solved.request] = solved
        return tuple(found[request] for request in requests)

    def _most_of(self, kind: str) -> int:
        """Returns how many probes of a kind are solved at once, at most."""
        scalars = self.model.input.size * self.kinds[kind].networks
        return max(1, min(_LARGEST_CHUNK, _CHUNK_SCALARS // scalars))

    def _solve_chunk(
        self, kind: ProbeKind, requests: Sequence[ProbeRequest], report: Progress
    ) -> list[Solved]:
        spec, device = self.model.input, self.model.device
        bases = self.bases[[request.base for request in requests]]
        base = to_tensor(bases, spec, kind.dtype).to(device)
        noise = np.stack([self._start(kind, request) for request in requests])
        start = base + torch.from_numpy(noise).to(base)
        solution = kind.solve(base, start, report)
        inputs = to_inputs(solution.point, spec)
        residuals = solution.residual.double().cpu().tolist()
        converged = solution.converged.cpu().tolist()
        return [
            Solved(request, inputs[place], residuals[place], converged[place], solution.passes)
            for place, request in enumerate(requests)
        ]

    def _start(self, kind: ProbeKind, request: ProbeRequest) -> NDArray[np.float64]:
        """Draws the δ that a probe is solved from: the model's own, so that nobody picks one."""
        label = (
            f"nullprint|{self.seed}|{self.model.input.domain}|start|{kind.name}|"
            f"{self.model.digest}|{request.base}|{request.draw}"
        )
        return start_delta(self.model.input, kind.contrast, label)


def _chunks(requests: Sequence[ProbeRequest], most: int) -> Iterator[Sequence[ProbeRequest]]:
    """Yields as few chunks as may be, of even sizes: the largest one decides the memory."""
    count = math.ceil(len(requests) / most)
    for number in range(count):
        yield requests[number::count]
