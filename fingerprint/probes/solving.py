"""Solving candidates for probes: from a start draw to an input that can be sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import NoInformation
from fingerprint.network.features import penultimate
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import full_precision, to_inputs, to_tensor
from fingerprint.operators.base import LinearOperator
from fingerprint.probes.probe import ProbeKind, symmetry_of
from fingerprint.probes.public import start_input
from fingerprint.progress import Progress, silent
from fingerprint.solvers.network import choose_method, solve_network
from fingerprint.solvers.projection import solve_linear
from fingerprint.solvers.robust import solve_robust
from fingerprint.solvers.solution import Solution
from fingerprint.spaces.discriminative import outside
from fingerprint.spaces.subspace import Subspace

__all__ = ["Candidates", "Depth", "Solver", "Wish"]

Depth = Literal["features", "logits"]

_CHUNK_SCALARS = 2**21
_LARGEST_CHUNK = 32

_MOST_EQUATIONS = 2
"""Joint equations per input value; more leave nothing but perturbations close to zero."""


@dataclass(frozen=True)
class Wish:
    """A probe that is wanted: its kind, its base, and which draw of the start to use."""

    kind: ProbeKind
    base: int
    draw: int

    @property
    def symmetry(self) -> int:
        """Which symmetry makes its control: another one for each draw of a base."""
        return symmetry_of(self.base, self.draw)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Solved candidates, in the order of their wishes.

    Attributes:
        harmless: Inputs as they are sent, shape ``(N, *input.shape)``.
        residual: Relative residual before rounding, shape ``(N,)``.
        cosine: Cosine between δ and its start, shape ``(N,)``.
        converged: Shape ``(N,)``, bool.
        passes: Forward-and-backward passes of each, shape ``(N,)``.
    """

    harmless: NDArray[Any]
    residual: NDArray[np.float64]
    cosine: NDArray[np.float64]
    converged: NDArray[np.bool_]
    passes: NDArray[np.float64]

    def take(self, places: NDArray[np.intp]) -> Candidates:
        """Returns the candidates at these places, in their order."""
        return Candidates(**{item.name: getattr(self, item.name)[places] for item in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """Puts candidates one after the other."""
        return cls(
            **{
                item.name: np.concatenate([getattr(part, item.name) for part in parts])
                for item in fields(cls)
            }
        )


class Solver:
    """Solves wishes for one model, one kind of start and one set of bases.

    Args:
        model: The source.
        seed: Registry seed.
        start: Kind of start noise.
        bases: Public bases, shape ``(B, *input.shape)``.
        space: Harmless space of the first affine segment; None if there is none.
        others: Linear parts of other models, which linear probes stay outside of.
        companions: Changed copies of the model that network probes should also be harmless for.
        depth: Where the model and its companions are asked to agree: in their logits, or in the
            features their last linear layer reads, where there is one, it is not too wide for
            the inputs and it answers every base.
        progress: Called as the work goes on.
    """

    def __init__(
        self,
        model: Model,
        *,
        seed: str,
        start: str,
        bases: NDArray[Any],
        space: Subspace | None = None,
        others: tuple[LinearOperator, ...] = (),
        companions: tuple[Model, ...] = (),
        depth: Depth = "features",
        progress: Progress = silent,
    ) -> None:
        self.model = model
        self.seed = seed
        self.start = start
        self.bases = bases
        self.space = space
        self.others = others
        self.companions = companions
        self.progress = progress
        self.method = choose_method(model.output.classes, model.input.size)
        exact = self.method == "gauss-newton"
        working = model.to(dtype=torch.float64) if exact else model
        self._dtype = working.dtype
        self._network_of_logits = logits_of(working)
        self.depth: Depth = depth if self._has_room_for_features() else "logits"

    def _has_room_for_features(self) -> bool:
        features = penultimate(self.model) if self.companions else None
        if features is None:
            return False
        equations = (1 + len(self.companions)) * features.width
        return equations <= _MOST_EQUATIONS * self.model.input.size

    def solve(self, wishes: list[Wish]) -> Candidates:
        """Solves all wishes, a chunk at a time."""
        chunk = max(1, min(_LARGEST_CHUNK, _CHUNK_SCALARS // self.model.input.size))
        parts: list[Candidates] = []
        order = sorted(range(len(wishes)), key=lambda place: wishes[place].kind)
        done = 0
        while done < len(order):
            kind = wishes[order[done]].kind
            same = [place for place in order[done:] if wishes[place].kind == kind][:chunk]
            report = _part_of(self.progress, done, len(same), len(order))
            parts.append(self._solve_chunk(kind, [wishes[place] for place in same], report))
            done += len(same)
        back = np.argsort(order)
        return Candidates.joined(parts).take(back)

    def _solve_chunk(self, kind: ProbeKind, wishes: list[Wish], report: Progress) -> Candidates:
        spec = self.model.input
        dtype = torch.float64 if kind == "linear" else self._dtype
        device = self.model.device
        base = to_tensor(self.bases[[wish.base for wish in wishes]], spec, dtype)
        start = to_tensor(np.stack([self._start(wish) for wish in wishes]), spec, dtype)
        base, start = base.to(device), start.to(device)
        if kind == "linear":
            solution = self._linear(base, start, report)
        else:
            solution = self._network(base, start, report)
        delta, begin = solution.delta.flatten(1), (start - base).flatten(1)
        cosine = torch.cosine_similarity(delta.double(), begin.double(), dim=1)
        return Candidates(
            harmless=to_inputs(solution.point, spec),
            residual=solution.residual.double().cpu().numpy(),
            cosine=cosine.cpu().numpy(),
            converged=solution.converged.cpu().numpy(),
            passes=np.full(len(wishes), solution.passes),
        )

    def _network(self, base: Tensor, start: Tensor, report: Progress) -> Solution:
        """Solves for the whole network, by way of where its companions agree if there are any."""
        bounds, begin, spent = self.model.input.bounds, start, 0.0
        with full_precision():
            near = self._joint(base, start, report) if self.companions else None
            if near is not None:
                begin, spent = base + near.delta.to(base.dtype), near.passes
            solution = solve_network(
                self._network_of_logits, base, begin, bounds=bounds, progress=report
            )
        return replace(solution, passes=solution.passes + spent)

    def _joint(self, base: Tensor, start: Tensor, report: Progress) -> Solution | None:
        """Moves starts to where the companions agree, as deep in the network as they can.

        Returns:
            None where some base tells nothing even in the logits, of a pruned copy perhaps.
        """
        depths: tuple[Depth, ...] = ("features", "logits")
        for depth in depths[depths.index(self.depth) :]:
            self.depth = depth
            try:
                return solve_robust(
                    [self._joint_view(network) for network in (self.model, *self.companions)],
                    base.to(self.model.dtype),
                    start.to(self.model.dtype),
                    bounds=self.model.input.bounds,
                    progress=report,
                )
            except NoInformation:
                continue
        return None

    def _joint_view(self, network: Model) -> Callable[[Tensor], Tensor]:
        features = penultimate(network) if self.depth == "features" else None
        return features or logits_of(network)

    def _linear(self, base: Tensor, start: Tensor, report: Progress) -> Solution:
        """Solves in the harmless space, from starts moved out of the other models' spaces."""
        assert self.space is not None  # linear wishes are only made where there is a space
        if self.others:
            moved = [
                outside(self.space, self.others, one - origin).delta.to(base)
                for one, origin in zip(start, base, strict=True)
            ]
            start = base + torch.stack(moved)
        return solve_linear(
            self.space, base, start, bounds=self.model.input.bounds, progress=report
        )

    def _start(self, wish: Wish) -> NDArray[Any]:
        return start_input(
            self.model.input,
            self.seed,
            self.start,
            model_digest=self.model.digest,
            base=wish.base,
            draw=wish.draw,
        )


def _part_of(progress: Progress, done: int, size: int, total: int) -> Progress:
    """Reports a chunk's own progress as a share of all probes."""

    def report(stage: str, step: int, steps: int) -> None:
        progress(stage, round(1000 * (done + size * step / steps) / total), 1000)

    return report
