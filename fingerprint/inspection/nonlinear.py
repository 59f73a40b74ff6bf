"""Nonlinear layers: what each does not notice, at the input it is given.

The sets themselves are those of :mod:`fingerprint.theory`; here a call becomes
one, its dimensions are counted, and what has no closed form is said to have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.inspection.kinds import PRODUCTS
from fingerprint.operators.affine import AFFINE_FUNCTIONS
from fingerprint.theory.layers import set_of_call

__all__ = ["Freedom", "freedom"]

_NO_FORM = {
    "scaled_dot_product_attention": "attention weighs every token by all others: no closed form",
    "batch_norm": "batch norm that takes the batch's own statistics",
    "bilinear": "a product of two features: no closed form",
    "glu": "a product of two features: no closed form",
    "instance_norm": "instance norm with these settings",
    "normalize": "scaling a row is harmless besides, no closed form here",
    **dict.fromkeys(PRODUCTS, "a product of two features: no closed form"),
}


@dataclass(frozen=True, kw_only=True)
class Freedom:
    """What a nonlinear layer does not notice.

    Attributes:
        free: Coordinates of its input that can move on their own; None if not computed.
        dimension: Local dimension of its harmless set; None if not computed.
        note: Why it was not computed, or a remark; one line.
    """

    free: int | None = None
    dimension: int | None = None
    note: str = ""


def freedom(function: str, z: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Freedom:
    """Counts what a nonlinear call does not notice (Definition 2, Lemmas 1.1 to 1.5).

    Args:
        function: Name of the function of torch.
        z: The tensor it reads, batch dimension included.
        args: Its other positional arguments.
        kwargs: Its keyword arguments.
    """
    if function in AFFINE_FUNCTIONS and function not in _NO_FORM:
        return Freedom(note="not computed: its weights depend on the input")
    if not bool(torch.isfinite(z).all()):
        return Freedom(note="not computed: NaN or infinity reaches it")
    if function == "amax":
        function, z, args, kwargs = _as_pooling(z, args, kwargs)
    try:
        found = set_of_call(function, z, args, kwargs)
    except UsageError:
        reason = _NO_FORM.get(function, f"no closed form for this form of {function}")
        return Freedom(note=f"not computed: {reason}")
    return Freedom(free=found.free, dimension=found.dimension, note=found.note)


def _as_pooling(
    z: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, Tensor, tuple[Any, ...], dict[str, Any]]:
    """Reads a maximum over some axes as max pooling with one window."""
    dim = args[0] if args else kwargs.get("dim", ())
    axes = [axis % z.ndim for axis in ((dim,) if isinstance(dim, int) else dim or ())]
    axes = axes or list(range(z.ndim))
    others = [axis for axis in range(z.ndim) if axis not in axes]
    window = z.permute(*others, *axes).reshape(*(z.shape[axis] for axis in others), -1)
    return "adaptive_max_pool1d", window, (1,), {}
