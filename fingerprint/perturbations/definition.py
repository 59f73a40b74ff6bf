"""Is a perturbation harmless for a function? Definition 1, as floating-point numbers allow it.

    is_harmless(network, x, delta)      # does the network answer x + δ as it answers x?

Exactly equal answers are not to be had: ``x + δ`` is rounded already. What is asked is that the
answers differ by no more than rounding explains.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.spaces.rank import relative_cutoff

__all__ = ["is_harmless", "unnoticed"]


def is_harmless(
    function: Callable[[Tensor], Tensor], x: Tensor, delta: Tensor, *, rtol: float | None = None
) -> Tensor:
    """Runs a function on an input and its perturbed copies, and compares (Definition 1).

    Args:
        function: Maps batches ``(B, *shape)`` to batches of answers; a layer or a network.
        x: One input, shape ``(1, *shape)``, in the precision the function takes.
        delta: Perturbations, shape ``(B, *shape)``; the paper's bound ξ of their norm is the
            caller's to set.
        rtol: Largest change of any entry of the answer, relative to its largest entry, at
            ``‖δ‖ = 0``; it grows as ``1 + ‖δ‖ / ‖x‖``. By default the machine epsilon of the
            precision times the number of inputs.

    Returns:
        Booleans of shape ``(B,)``.

    Raises:
        UsageError: The shapes differ, or δ is not finite.
    """
    check_pair(x, delta)
    with torch.no_grad():
        before = function(x)
        after = function(x + delta.to(x))
    return unnoticed(before, after, x, delta, rtol=rtol)


def unnoticed(
    before: Tensor, after: Tensor, x: Tensor, delta: Tensor, *, rtol: float | None = None
) -> Tensor:
    """Says whether answers are the same up to rounding; see :func:`is_harmless`.

    Args:
        before: Answer to x, shape ``(1, ...)``.
        after: Answers to ``x + δ``, shape ``(B, ...)``.
        x: The input, ``(1, *shape)``.
        delta: The perturbations, ``(B, *shape)``.
        rtol: As there.
    """
    if rtol is None:
        n = x.numel()
        rtol = relative_cutoff((n, n), x.dtype)
    length = float(x.norm())
    growth = 1.0 + delta.to(x).flatten(1).norm(dim=1) / (length if length > 0.0 else 1.0)
    change = (after - before).abs().flatten(1)
    largest = change.amax(dim=1) if change.shape[1] else change.new_zeros(len(change))
    size = float(before.abs().max()) if before.numel() else 0.0
    same: Tensor = largest <= rtol * size * growth
    return same


def check_pair(x: Tensor, delta: Tensor) -> None:
    """Refuses perturbations that do not fit an input.

    Raises:
        UsageError: The shapes differ, or δ is not finite.
    """
    if x.ndim < 1 or len(x) != 1 or delta.ndim != x.ndim or delta.shape[1:] != x.shape[1:]:
        raise UsageError(
            f"perturbation: expected one input (1, *shape) and perturbations (B, *shape), "
            f"got {tuple(x.shape)} and {tuple(delta.shape)}"
        )
    if not bool(torch.isfinite(delta).all()):
        raise UsageError("perturbation: expected finite numbers, got NaN or infinity")
