"""The kinds of probe: what each is harmless for, how it is solved, and what it costs.

An instance solves the probes of one depth of one model; its name is what a stored probe, a
finding and a margin call that depth::

    kinds = (FeatureProbes(depth, contrast=32 / 255), LinearProbes(space, model.input))
    kinds[0].solve(base, start, silent)     # a Solution

A new kind is a class here; nothing else asks for kinds by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fingerprint.network.depths import Depth
from fingerprint.network.run import full_precision
from fingerprint.network.spec import InputSpec
from fingerprint.operators.base import LinearOperator
from fingerprint.probes.bases import room_of
from fingerprint.progress import Progress, part_of
from fingerprint.solvers.lbfgs import projected_lbfgs
from fingerprint.solvers.objective import Objective, centred
from fingerprint.solvers.projection import solve_linear
from fingerprint.solvers.solution import Solution
from fingerprint.spaces.discriminative import outside
from fingerprint.spaces.subspace import Subspace

__all__ = [
    "PASSES",
    "WEAK",
    "FeatureProbes",
    "IndividualProbes",
    "LinearProbes",
    "ProbeKind",
    "SpeaksFor",
]

SpeaksFor = Literal["family", "individual"]

_TOLERANCE = 0.02
"""Relative residual at which a probe has arrived: what is left moves a copy's answers more."""
PASSES = 150
"""Forward-and-backward passes at most for each probe of a depth."""
_INDIVIDUAL_PASSES = 100
"""The same of individual probes. A child that learned little answers nearly as its parent does, and
with 40 its own answers moved by up to a third of what turns do (``benchmarks.families``)."""
WEAK = 8 / 255
"""Contrast of a start near which the network is nearly linear, and which 8 bits just about hold."""


class ProbeKind(ABC):
    """One kind of probe, solved for one model.

    Attributes:
        name: What it is called, as a depth.
        width: How many numbers are to stay as they are; None if unknown.
        share: How much of a whole pass one pass to this depth costs, in [0, 1].
        contrast: Size of the noise that its probes start from, as a share of the input's range.
        speaks_for: ``family`` or ``individual``.
        networks: How many networks a pass goes through, whose layers are in memory together.
        dtype: What bases and starts are solved in.
    """

    name: str
    width: int | None
    share: float
    contrast: float
    speaks_for: ClassVar[SpeaksFor] = "family"
    networks: int = 1
    dtype: torch.dtype

    @abstractmethod
    def solve(self, base: Tensor, start: Tensor, progress: Progress) -> Solution:
        """Solves a batch of probes, each on its own, inside the room around its base.

        Args:
            base: Bases, shape ``(B, *input.shape)``, of ``dtype``.
            start: What to begin from, the same shape.
            progress: Called as the work goes on.

        Returns:
            Its ``passes`` count passes through the whole network.
        """


class FeatureProbes(ProbeKind):
    """Harmless at one depth of the network: what lies behind may be trained to anything later.

    Fine-tuning moves what lies before as well, and a δ that rests on weights cancelling each other
    exactly does not survive it. One solve for an earlier depth as well, behind which fewer layers
    cancel, looks for a δ that does. Then each depth counts in units of its own answers.

    A weak δ leaves the network nearly linear around the base, and a solve comes much nearer to a
    harmless direction than from a strong one; but rounding to 8 bits drowns it. So δ can be solved
    weak, enlarged along the direction that was found, and solved again from there.

    Args:
        depth: Where.
        earlier: Depths on the way there, which the δ shall be harmless at as well.
        contrast: Of the starts, as a share of the input's range.
        passes: Passes at most for each probe.
        enlarged: Root mean square, as a share of the input's range, that δ is brought to once half
            of the passes are spent, to be solved with the other half; 0 for one solve.
    """

    def __init__(
        self,
        depth: Depth,
        *,
        contrast: float,
        passes: int = PASSES,
        earlier: Sequence[Depth] = (),
        enlarged: float = 0.0,
    ) -> None:
        self.depth, self.passes = depth, passes
        self.earlier, self.enlarged = tuple(earlier), enlarged
        self.name, self.width, self.share = depth.name, depth.width, depth.share
        self.contrast = contrast
        self.dtype = depth.model.dtype

    def solve(self, base: Tensor, start: Tensor, progress: Progress) -> Solution:
        """See :meth:`ProbeKind.solve`."""
        box = _box(base, self.depth.model.input)
        with full_precision(), torch.no_grad():
            objective = (
                _Balanced(partial(self.depth.with_earlier, earlier=self.earlier), base, box)
                if self.earlier
                else Objective(self.depth, base, box)
            )
            if not self.enlarged:
                return _solved(objective, start, self.passes, self.share, progress)
            return self._solved_twice(objective, start, progress)

    def _solved_twice(self, objective: Objective, start: Tensor, progress: Progress) -> Solution:
        """Solves a weak δ, enlarges it and solves again."""
        low, high = self.depth.model.input.bounds
        base, half = objective.base, self.passes // 2
        # A weak δ has arrived where it would have, were it as large as it is going to be.
        begun = self.contrast / 3**0.5  # of uniform noise
        tolerance = _TOLERANCE * min(1.0, begun / self.enlarged)
        weak = _solved(
            objective, start, half, self.share, part_of(progress, 0, 1, 2), tolerance=tolerance
        )
        found = weak.point - base
        again = base + found * (self.enlarged * (high - low) / _size(found))
        rest = self.passes - half
        strong = _solved(objective, again, rest, self.share, part_of(progress, 1, 1, 2))
        return replace(strong, passes=weak.passes + strong.passes)


class IndividualProbes(ProbeKind):
    """Harmless for a model and not for its relatives: what its own training added.

    One solve in which the model answers the probe as it answers the base, and each relative as
    it answered the start. So δ lies in ``P_A − (P_A ∩ P_P)``, not merely in ``P_A``.

    Args:
        depth: Where the model is to answer alike.
        relatives: The same place in its relatives.
        contrast: Of the starts, as a share of the input's range.
        copies: The same place in copies of the model, which are to answer alike as well.
        passes: Passes at most for each probe.
    """

    speaks_for = "individual"

    def __init__(
        self,
        depth: Depth,
        relatives: Sequence[Callable[[Tensor], Tensor]],
        *,
        contrast: float,
        copies: Sequence[Callable[[Tensor], Tensor]] = (),
        passes: int = _INDIVIDUAL_PASSES,
    ) -> None:
        self.depth, self.relatives, self.passes = depth, tuple(relatives), passes
        self.copies = tuple(copies)
        self.name = f"individual {depth.name}"
        self.width, self.networks = depth.width, 1 + len(self.copies) + len(self.relatives)
        self.share = depth.share * self.networks
        self.contrast = contrast
        self.dtype = depth.model.dtype

    def solve(self, base: Tensor, start: Tensor, progress: Progress) -> Solution:
        """See :meth:`ProbeKind.solve`."""
        low, high = _box(base, self.depth.model.input)
        start = torch.minimum(torch.maximum(start, low), high)
        with full_precision(), torch.no_grad():
            own: tuple[Callable[[Tensor], Tensor], ...] = (self.depth, *self.copies)
            objective = _Apart(own, self.relatives, base, start, (low, high))
            return _solved(objective, start, self.passes, self.share, progress)


class _InUnits(Objective):
    """Counts the answers of several networks or depths in units of their own.

    Args:
        network: Gives all of them, side by side.
        base: Bases, shape ``(B, *shape)``.
        bounds: Smallest and largest value of each coordinate.
        aim: What to solve for, in those units, shape ``(B, m)``.
        origin: Answers that are 0, the same shape.
        unit: The units, the same shape.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        base: Tensor,
        bounds: tuple[Tensor, Tensor],
        *,
        aim: Tensor,
        origin: Tensor,
        unit: Tensor,
    ) -> None:
        self._origin, self._unit = origin, unit
        super().__init__(network, base, bounds, aim=aim)

    def _relative(self, answers: Tensor, rows: Tensor | None) -> Tensor:
        origin, unit = self._origin, self._unit
        if rows is not None:
            origin, unit = origin[rows], unit[rows]
        return super()._relative((answers - origin) / unit, rows)


class _Balanced(_InUnits):
    """Asks for the answers to the base, of several networks or depths that count alike.

    What each answers to the base is its unit; else the one with the largest numbers would decide.
    """

    def __init__(
        self,
        networks: Callable[[Tensor], Sequence[Tensor]],
        base: Tensor,
        bounds: tuple[Tensor, Tensor],
    ) -> None:
        answers = networks(base)
        aim = torch.cat(list(answers), 1)
        unit = torch.cat([_scale(rows).expand_as(rows) for rows in answers], 1)
        super().__init__(
            lambda x: torch.cat(list(networks(x)), 1),
            base,
            bounds,
            aim=aim / unit,
            origin=torch.zeros_like(aim),
            unit=unit,
        )


class _Apart(_InUnits):
    """Asks networks to answer as to the base, and others as to the start.

    How far each has moved from its answer to the base counts by how far the start moves it.

    Args:
        own: Those that are to answer as to the base.
        others: Those that are not.
        base: Bases, shape ``(B, *shape)``.
        start: Starts, the same shape.
        bounds: Smallest and largest value of each coordinate.
    """

    def __init__(
        self,
        own: Sequence[Callable[[Tensor], Tensor]],
        others: Sequence[Callable[[Tensor], Tensor]],
        base: Tensor,
        start: Tensor,
        bounds: tuple[Tensor, Tensor],
    ) -> None:
        networks = (*own, *others)
        origins = [centred(network(base)) for network in networks]
        moves = [
            centred(network(start)) - origin
            for network, origin in zip(networks, origins, strict=True)
        ]
        units = [_scale(move).expand_as(move) for move in moves]
        for place in range(len(own)):
            moves[place] = torch.zeros_like(moves[place])
        unit = torch.cat(units, 1)
        super().__init__(
            lambda x: torch.cat([centred(network(x)) for network in networks], 1),
            base,
            bounds,
            aim=torch.cat(moves, 1) / unit,
            origin=torch.cat(origins, 1),
            unit=unit,
        )


class LinearProbes(ProbeKind):
    """In the null space of the first affine segment: harmless whatever comes behind it.

    Args:
        space: That null space.
        input: What the network takes.
        contrast: Of the starts, as a share of the input's range.
        others: Linear parts of other models, whose harmless spaces starts are moved out of.
    """

    name = "linear"
    share = 0.0
    dtype = torch.float64

    def __init__(
        self,
        space: Subspace,
        input: InputSpec,
        *,
        contrast: float,
        others: Sequence[LinearOperator] = (),
    ) -> None:
        self.width = space.rank
        self.contrast = contrast
        self._space, self._input, self._others = space, input, tuple(others)

    def solve(self, base: Tensor, start: Tensor, progress: Progress) -> Solution:
        """See :meth:`ProbeKind.solve`."""
        if self._others:
            moved = [
                outside(self._space, self._others, one - origin).delta.to(base)
                for one, origin in zip(start, base, strict=True)
            ]
            start = base + torch.stack(moved)
        box = _box(base, self._input)
        return solve_linear(self._space, base, start, bounds=box, progress=progress)


def _box(base: Tensor, spec: InputSpec) -> tuple[Tensor, Tensor]:
    """Returns the room around bases: whatever lies in it can be turned and still be sent."""
    low, high = spec.bounds
    room = room_of(spec)
    return (base - room).clamp(low, high), (base + room).clamp(low, high)


def _scale(rows: Tensor) -> Tensor:
    """Norms of shape ``(B, 1)`` to divide by; nothing is divided by zero."""
    norms: Tensor = rows.norm(dim=1, keepdim=True)
    return norms.clamp_min(torch.finfo(rows.dtype).tiny)


def _size(delta: Tensor) -> Tensor:
    """Root mean square of each row, to divide by: shape ``(B, 1, ...)``, never 0."""
    sizes = delta.flatten(1).norm(dim=1) / delta[0].numel() ** 0.5
    sizes = sizes.clamp_min(torch.finfo(delta.dtype).tiny)
    return torch.reshape(sizes, (-1, *[1] * (delta.ndim - 1)))


def _solved(
    objective: Objective,
    start: Tensor,
    passes: int,
    share: float,
    progress: Progress,
    *,
    tolerance: float = _TOLERANCE,
) -> Solution:
    solution = projected_lbfgs(
        objective,
        objective.clip(start.to(objective.base.dtype)),
        tolerance=tolerance,
        max_passes=passes,
        progress=progress,
    )
    return replace(solution, passes=solution.passes * share)
