"""What of a perturbation does a network notice? Split in two parts, on any network.

found = linear_space(model)
exact = precise(model, found)
parts = split(exact, inputs, delta, space=found.space if found.is_usable else None)
effects(exact, inputs, inputs + parts.harmless)         # none
effects(exact, inputs + delta, inputs + parts.harmful)  # none: it acts as all of δ does

In a linear harmless space the split is that of Theorem 4 and both hold at every input and size.
Other networks are split by the whole-network solver: the harmless part is then the harmless
perturbation nearest to the given one that was found, so the first holds to the solver's
tolerance, for this input only. The second does *not* hold: Theorem 3 speaks of a linear layer,
and of a network ``f(x + δ) = f(x + δ_b)`` does not follow. It is to be measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.decomposition.nearest import nearest_harmless
from fingerprint.errors import UsageError
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import full_precision
from fingerprint.progress import Progress, silent
from fingerprint.solvers.first_layers import LinearSpace
from fingerprint.solvers.network import choose_method
from fingerprint.spaces.subspace import Subspace
from fingerprint.theory.decomposition import decompose

__all__ = ["Split", "check_pair", "precise", "split"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Perturbations in two parts.

    Attributes:
        harmless: Shape ``(B, *input.shape)``.
        harmful: The rest, same shape.
        converged: Whether the harmless part is as harmless as the solver promises, shape
            ``(B,)``, bool; always true by projection.
    """

    harmless: Tensor
    harmful: Tensor
    converged: Tensor


def precise(model: Model, found: LinearSpace | None = None) -> Model:
    """Returns the model in the precision in which its harmless perturbations are exact.

    Args:
        model: The network; left alone.
        found: Its linear space, if there is one.

    Returns:
        A copy in float64, unless only L-BFGS could solve it (many outputs, no linear space): its
        residuals are far above the rounding of float32, which is twice as fast.
    """
    linear = found is not None and found.is_usable
    few = choose_method(model.output.classes, model.input.size) == "gauss-newton"
    if model.dtype == torch.float64 or not (linear or few):
        return model
    return model.to(dtype=torch.float64)


def split(
    model: Model,
    inputs: Tensor,
    delta: Tensor,
    *,
    space: Subspace | None = None,
    progress: Progress = silent,
) -> Split:
    """Splits perturbations into a harmless and a harmful part.

    Args:
        model: The network, in the precision the claim is made in; see :func:`precise`.
        inputs: The inputs x that are perturbed, shape ``(B, *model.input.shape)``.
        delta: Perturbations of them, same shape. For the solver both ``x`` and ``x + delta``
            must lie inside ``model.input.bounds``.
        space: The linear harmless space; without it the whole-network solver is used.
        progress: Called as the solver works.

    Returns:
        The parts. Without a space the harmless one is near ``delta``, not proven nearest.

    Raises:
        UsageError: The shapes differ, or the solver is given inputs outside the box.
        NoInformation: The answers to the inputs are not finite or tell no classes apart.
    """
    check_pair(model, inputs, delta, boxed=space is None)
    if space is not None:
        parts = decompose(space, delta)
        harmless, harmful = parts.harmless, parts.harmful
        converged = torch.ones(len(delta), dtype=torch.bool)
    else:
        base = inputs.to(model.device, model.dtype)
        with full_precision():
            solution = nearest_harmless(
                logits_of(model),
                base,
                delta.to(base),
                bounds=model.input.bounds,
                progress=progress,
            )
        harmless, converged = solution.delta.to(delta), solution.converged.cpu()
        harmful = delta - harmless
    return Split(
        harmless=harmless,
        harmful=harmful,
        converged=converged,
    )


def check_pair(model: Model, inputs: Tensor, delta: Tensor, *, boxed: bool) -> None:
    """Refuses a batch of inputs and perturbations that do not belong together.

    Raises:
        UsageError: The shapes differ, or ``boxed`` and an input before or after the perturbation
            lies outside the model's box by more than rounding.
    """
    shape = model.input.shape
    if inputs.shape != delta.shape or tuple(inputs.shape[1:]) != shape or len(inputs) == 0:
        raise UsageError(
            f"perturbations: expected two batches of shape {shape}, "
            f"got {tuple(inputs.shape)} and {tuple(delta.shape)}"
        )
    low, high = model.input.bounds
    slack = 1e-6 * (high - low)
    for values in (inputs, inputs + delta) if boxed else ():
        if not bool(((values >= low - slack) & (values <= high + slack)).all()):
            raise UsageError(
                f"perturbations: expected inputs from {low:g} to {high:g} before and after, for "
                "the whole-network solver stays inside the box"
            )
