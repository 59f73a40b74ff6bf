"""Is a perturbation harmless for a function? Definition 1, as floating-point numbers allow it.

    is_harmless(network, x, delta)      # does the network answer x + δ as it answers x?
    first_unnoticed(layers, x, delta)   # the layer after which δ is gone (Lemma 1)

Exactly equal answers are not to be had: ``x + δ`` is rounded already. What is asked is that no
entry of the answer changes by more than rounding explains: the machine epsilon times the number
of inputs, relative to the largest entry, growing as ``1 + ‖δ‖ / ‖x‖``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.spaces.rank import relative_cutoff

__all__ = ["first_unnoticed", "is_harmless"]

Layer = Callable[[Tensor], Tensor]


def is_harmless(function: Layer, x: Tensor, delta: Tensor) -> Tensor:
    """Runs a function on an input and its perturbed copies, and compares (Definition 1).

    Args:
        function: Maps batches ``(B, *shape)`` to batches of answers; a layer or a network.
        x: One input, shape ``(1, *shape)``, in the precision the function takes.
        delta: Perturbations, shape ``(B, *shape)``; the paper's bound ξ of their norm is the
            caller's to set.

    Returns:
        Booleans of shape ``(B,)``.

    Raises:
        UsageError: The shapes differ, or δ is not finite.
    """
    gone = first_unnoticed([function], x, delta)
    return torch.tensor([place is not None for place in gone])


def first_unnoticed(layers: Sequence[Layer], x: Tensor, delta: Tensor) -> list[int | None]:
    """Finds for each perturbation the first l with δ in P⁽ˡ⁾: where it is gone.

    Args:
        layers: The network cut into functions of batches, in order.
        x: One input, shape ``(1, *shape)``.
        delta: Perturbations, shape ``(B, *shape)``.

    Returns:
        Indices into ``layers``; None where even the last layer's answer changes. Rounding left
        over by one layer may be magnified by later ones, so an early loss is judged where it
        happens and stands (Lemma 1).

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
    growth = 1.0 + delta.to(x).flatten(1).norm(dim=1) / (float(x.norm()) or 1.0)
    rounding = relative_cutoff((x.numel(), x.numel()), x.dtype) * growth
    found: list[int | None] = [None] * len(delta)
    with torch.no_grad():
        before, after = x, x + delta.to(x)
        for number, layer in enumerate(layers):
            before, after = layer(before.clone()), layer(after.clone())
            change = (after - before).abs().flatten(1).amax(dim=1)
            gone = (change <= rounding * before.abs().max()).tolist()
            found = [
                number if earlier is None and now else earlier
                for earlier, now in zip(found, gone, strict=True)
            ]
    return found
