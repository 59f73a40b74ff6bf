"""Perturbations of many sizes and one effect: the equivalent space of a perturbation.

found = family(exact, inputs, delta, (1, 4, 16), space=space)
found.members[0, 2]                 # 16 times as long as delta[0], answered as delta[0] is
found.effects[0][2].relative        # how far that is from true

A perturbation and all that act as it does form a family. Where a network has a linear harmless
space, its members are those with the same harmful part (Theorem 5), of any norm from that part's
own upwards, without bounds and for every input. On any other network there is a family all the
same: the answers to ``x + δ`` are few numbers and the inputs many, so inputs that are answered
alike form a manifold, and the whole-network solver finds members of it from full-contrast noise.
Those stay inside the box of valid inputs, which limits their norm, and hold for one x only.
If δ is adversarial, so is every member, whatever its norm (the paper's Figure 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.decomposition.splitting import check_pair
from fingerprint.errors import UsageError
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import full_precision
from fingerprint.progress import Progress, silent
from fingerprint.solvers.effect import Effect, effects
from fingerprint.solvers.network import solve_network
from fingerprint.spaces.subspace import Subspace
from fingerprint.theory.decomposition import equivalent

__all__ = ["Family", "family"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """Members of the families of a batch of perturbations.

    Attributes:
        members: Perturbations, shape ``(B, M, *input.shape)``.
        converged: Shape ``(B, M)``, bool; always true for members of a linear space.
        effects: For each of B, for each of M: ``x + member`` against ``x + δ``.
    """

    members: Tensor
    converged: Tensor
    effects: tuple[tuple[Effect, ...], ...]


def family(
    model: Model,
    inputs: Tensor,
    delta: Tensor,
    factors: Sequence[float],
    *,
    space: Subspace | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Family:
    """Draws members of the families of perturbations and measures that they act alike.

    Args:
        model: The network, in the precision the claim is made in.
        inputs: The inputs x that are perturbed, shape ``(B, *model.input.shape)``.
        delta: Perturbations of them, same shape, none of them zero; for the solver both ``x``
            and ``x + delta`` must lie inside ``model.input.bounds``.
        factors: L2 norms of the members as multiples of the perturbation's own, at least 1. The
            solver only begins at these norms; it ends the farther off the smaller they are, and
            never outside the box.
        space: The linear harmless space; without it the whole-network solver is used.
        seed: Decides the harmless directions, or the noise the solver starts from.
        progress: Called as the work goes on.

    Raises:
        UsageError: The shapes differ, a factor is below 1, a perturbation is zero, or the solver
            is given inputs outside the box.
        NoInformation: The answers to ``x + delta`` are not finite or tell no classes apart.
    """
    check_pair(model, inputs, delta, boxed=space is None)
    own = delta.flatten(1).norm(dim=1).to(torch.float64)
    if not factors or not all(1.0 <= factor < float("inf") for factor in factors):
        raise UsageError(f"norms: expected multiples of at least 1, got {list(factors)}")
    if bool((own == 0).any()):
        raise UsageError("perturbations: expected none of them zero")
    generator = torch.Generator().manual_seed(seed)
    members, converged = [], []
    for place, factor in enumerate(factors):
        wanted = factor * own
        if space is not None:
            members.append(equivalent(space, delta, wanted, generator))
            converged.append(torch.ones(len(delta), dtype=torch.bool))
        else:
            start = _start(model, inputs.double(), wanted, generator)
            found, reached = _solved(model, inputs, delta, start, progress)
            members.append(found)
            converged.append(reached)
        progress("drawing members", place + 1, len(factors))
    return Family(
        members=torch.stack(members, dim=1),
        converged=torch.stack(converged, dim=1),
        effects=_measured(model, inputs, delta, members),
    )


def _start(model: Model, inputs: Tensor, wanted: Tensor, generator: torch.Generator) -> Tensor:
    """Goes from ``x`` towards full-contrast noise until ``‖start − x‖`` is the wanted norm.

    Both ends are in the box, so all between them is. Where even the noise is nearer than wanted,
    it is the noise. Nothing of δ is in the start: what the members share is their effect.
    """
    low, high = model.input.bounds
    coin = torch.rand(inputs.shape, generator=generator, dtype=torch.float64) < 0.5
    along = torch.where(coin.to(inputs.device), low, high) - inputs
    share = (wanted.to(inputs) / along.flatten(1).norm(dim=1)).clamp(max=1.0)
    start: Tensor = inputs + share.reshape(-1, *[1] * (inputs.ndim - 1)) * along
    return start


def _solved(
    model: Model, inputs: Tensor, delta: Tensor, start: Tensor, progress: Progress
) -> tuple[Tensor, Tensor]:
    """Returns perturbations of ``inputs`` near the starts that are answered as ``delta`` is."""
    base = (inputs + delta).to(model.device, model.dtype)
    with full_precision():
        solution = solve_network(
            logits_of(model),
            base,
            start.to(base),
            bounds=model.input.bounds,
            progress=progress,
        )
    return solution.point.double().to(delta.device) - inputs.double(), solution.converged.cpu()


def _measured(
    model: Model, inputs: Tensor, delta: Tensor, members: Sequence[Tensor]
) -> tuple[tuple[Effect, ...], ...]:
    columns = [
        effects(model, (inputs + delta).to(member), inputs.to(member) + member)
        for member in members
    ]
    return tuple(zip(*columns, strict=True))
