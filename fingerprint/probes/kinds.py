"""The kinds of probe: what each is harmless for, how it is solved, and when it has room.

A kind is one class. Its name is what a stored probe, a finding and a margin call it as a depth;
an instance solves such probes for one model::

    kinds = (NetworkProbes(model), LinearProbes(space, bounds))
    kinds[0].solve(base, start, silent)     # a Solution

A new kind is a class here and an entry in ``KINDS``; nothing else asks for kinds by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import NoInformation
from fingerprint.network.features import penultimate
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import full_precision, to_tensor
from fingerprint.network.spec import OutputSpec
from fingerprint.operators.base import LinearOperator
from fingerprint.probes.probe import SpaceFacts
from fingerprint.progress import Progress, silent
from fingerprint.solvers.network import choose_method, solve_network
from fingerprint.solvers.objective import Objective, centred
from fingerprint.solvers.projection import solve_linear
from fingerprint.solvers.robust import solve_robust
from fingerprint.solvers.solution import Solution
from fingerprint.spaces.discriminative import outside
from fingerprint.spaces.subspace import Subspace

__all__ = ["KINDS", "Agreement", "LinearProbes", "NetworkProbes", "ProbeKind", "agreement"]

Network = Callable[[Tensor], Tensor]
AgreementDepth = Literal["features", "logits"]

_MOST_EQUATIONS = 2
"""Joint equations per input value; more leave nothing but perturbations close to zero."""


class ProbeKind(ABC):
    """One kind of probe, solved for one model.

    Attributes:
        name: What it is called, as a depth.
        needs_convergence: Whether a solution that did not converge says that its base leaves no
            room for this kind, whatever the draw. Of other kinds it says nothing: they are
            judged by the harm they do to the source.
        dtype: What bases and starts are solved in.
    """

    name: ClassVar[str]
    needs_convergence: ClassVar[bool]
    dtype: torch.dtype

    @abstractmethod
    def solve(self, base: Tensor, start: Tensor, progress: Progress) -> Solution:
        """Solves a batch of probes, each on its own.

        Args:
            base: Bases, shape ``(B, *input.shape)``, of ``dtype``.
            start: What to begin from, the same shape.
            progress: Called as the work goes on.
        """

    @staticmethod
    @abstractmethod
    def width(output: OutputSpec, spaces: Sequence[SpaceFacts]) -> int | None:
        """How many numbers are to stay as they are; None where nobody knows.

        Args:
            output: What the model gives.
            spaces: What is known of its harmless spaces.
        """

    @classmethod
    def has_room(cls, *, converged: bool) -> bool:
        """Whether a base left a probe of this kind room to move."""
        return converged or not cls.needs_convergence


@dataclass(frozen=True, eq=False)
class Agreement:
    """Where a robust solve asks a model and modified copies of it to agree.

    Attributes:
        depth: ``features``, what their last linear layer reads, or ``logits``.
        networks: Each maps ``(N, *input.shape)`` to what it knows there, ``(N, m)``.
    """

    depth: AgreementDepth
    networks: tuple[Network, ...]


def agreement(
    model: Model,
    copies: Sequence[Model],
    bases: NDArray[Any],
    *,
    deepest: AgreementDepth = "features",
) -> Agreement | None:
    """Decides once where a model and modified copies can be asked to agree.

    In their features where the model has any, they are not too wide for its inputs, and all of
    them answer every base, alone and together; else in their logits.

    Args:
        model: The source.
        copies: Modified copies of it.
        bases: All bases, shape ``(B, *input.shape)``.
        deepest: Where to try first.

    Returns:
        None where some base gives no finite numbers even in the logits, of a pruned copy perhaps.
    """
    networks = (model, *copies)
    found: list[Agreement] = []
    features = [penultimate(network) for network in networks] if deepest == "features" else []
    if features and features[0] is not None:
        equations = len(networks) * features[0].width
        if equations <= _MOST_EQUATIONS * model.input.size:
            views = [
                one or logits_of(network) for one, network in zip(features, networks, strict=True)
            ]
            found.append(Agreement("features", tuple(views)))
    found.append(Agreement("logits", tuple(logits_of(network) for network in networks)))
    given = to_tensor(bases, model.input, model.dtype).to(model.device)
    return next((one for one in found if _answers(one, given, model.input.bounds)), None)


def _answers(candidate: Agreement, bases: Tensor, bounds: tuple[float, float]) -> bool:
    """Whether all networks have something to say of every base."""

    def stacked(x: Tensor) -> Tensor:
        return torch.cat([centred(network(x)) for network in candidate.networks], dim=1)

    try:
        for some in (bases, *bases[:, None]):
            Objective(stacked, some, bounds)
    except NoInformation:
        return False
    return True


class NetworkProbes(ProbeKind):
    """Solved through the whole network: harmless for this one, close to the start.

    With modified copies, starts are moved to where these agree with the model first. Few outputs
    are solved in float64, many in the network's own precision.

    Args:
        model: The source.
        agreement: Where it and modified copies of it agree; None to begin from the starts.
    """

    name = "network"
    needs_convergence = False

    def __init__(self, model: Model, agreement: Agreement | None = None) -> None:
        self.agreement = agreement
        self.method = choose_method(model.output.classes, model.input.size)
        working = model.to(dtype=torch.float64) if self.cheap else model
        self.dtype = working.dtype
        self._own_dtype = model.dtype
        self._bounds = model.input.bounds
        self._logits = logits_of(working)

    @staticmethod
    def width(output: OutputSpec, spaces: Sequence[SpaceFacts]) -> int | None:
        """See :meth:`ProbeKind.width`."""
        del spaces
        return output.classes

    @property
    def cheap(self) -> bool:
        """Whether solving is quick enough for modified copies and surrogates: a few times that."""
        return self.method == "gauss-newton"

    def solve(self, base: Tensor, start: Tensor, progress: Progress) -> Solution:
        """See :meth:`ProbeKind.solve`."""
        with full_precision():
            begin, spent = self._moved(base, start, progress)
            solution = solve_network(
                self._logits, base, begin, bounds=self._bounds, progress=progress
            )
        return replace(solution, passes=solution.passes + spent)

    def _moved(self, base: Tensor, start: Tensor, progress: Progress) -> tuple[Tensor, float]:
        """Moves starts to where the copies agree, and counts the passes.

        A start on the way from which some copy stops answering is left where it is; the others
        of its batch are then moved one at a time, so that none depends on its neighbours.
        """
        if self.agreement is None:
            return start, 0.0
        try:
            near = solve_robust(
                self.agreement.networks,
                base.to(self._own_dtype),
                start.to(self._own_dtype),
                bounds=self._bounds,
                progress=progress,
            )
        except NoInformation:
            if len(base) == 1:
                return start, 0.0
            parts = [
                self._moved(one, other, silent)
                for one, other in zip(base[:, None], start[:, None], strict=True)
            ]
            passes = sum(spent for _, spent in parts) / len(parts)
            return torch.cat([moved for moved, _ in parts]), passes
        return base + near.delta.to(base.dtype), near.passes


class LinearProbes(ProbeKind):
    """In the null space of the first affine segment: harmless whatever comes behind it.

    Args:
        space: That null space.
        bounds: Smallest and largest value of any coordinate of an input.
        others: Linear parts of other models, whose harmless spaces starts are moved out of.
    """

    name = "linear"
    needs_convergence = True
    dtype = torch.float64

    def __init__(
        self, space: Subspace, bounds: tuple[float, float], others: Sequence[LinearOperator] = ()
    ) -> None:
        self._space = space
        self._bounds = bounds
        self._others = tuple(others)

    @staticmethod
    def width(output: OutputSpec, spaces: Sequence[SpaceFacts]) -> int | None:
        """See :meth:`ProbeKind.width`."""
        del output
        return next((space.rank for space in spaces if space.kind == "linear"), None)

    def solve(self, base: Tensor, start: Tensor, progress: Progress) -> Solution:
        """See :meth:`ProbeKind.solve`."""
        if self._others:
            moved = [
                outside(self._space, self._others, one - origin).delta.to(base)
                for one, origin in zip(start, base, strict=True)
            ]
            start = base + torch.stack(moved)
        return solve_linear(self._space, base, start, bounds=self._bounds, progress=progress)


KINDS: Mapping[str, type[ProbeKind]] = {kind.name: kind for kind in (NetworkProbes, LinearProbes)}
"""Every kind there is, by name."""
