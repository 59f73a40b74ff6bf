"""Rules for operations that move and scale entries, and for sums.

See :mod:`fingerprint.operators.rules` for what a rule is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.call import Call
from fingerprint.operators.normalization import Diagonal, batch_norm
from fingerprint.operators.reshape import Gather, Pad, Permute, Reshape, Select
from fingerprint.operators.rule_shapes import identity, lead_dropped, shaped
from fingerprint.operators.simplify import compose

__all__ = [
    "added",
    "batch_normed",
    "broadcast",
    "concatenated",
    "divided",
    "moved",
    "multiplied",
    "negated",
    "padded",
    "permute",
    "reshape",
    "sliced",
    "subtracted",
]


def reshape(call: Call) -> LinearOperator | None:
    """The same entries in the same order."""
    if "dtype" in call.arguments and call.name == "aten.view":
        return None  # reads the bits as another type
    if call.entries != math.prod(call.out_shape):
        return moved(call)
    return Reshape(call.in_shape, call.out_shape, dtype=call.dtype, device=call.device)


def permute(call: Call) -> LinearOperator | None:
    """Axes in another order."""
    rank = len(call.in_shape)
    order = list(range(rank))
    if call.name == "aten.permute":
        order = list(call.axes("dims"))
    elif call.name == "aten.t":
        order.reverse()
    else:
        first, second = call.number("dim0") % rank, call.number("dim1") % rank
        order[first], order[second] = order[second], order[first]
    return Permute(call.in_shape, order, dtype=call.dtype, device=call.device)


def moved(call: Call) -> LinearOperator | None:
    """Reads off where each entry comes from by moving the numbers 1, 2, 3, ..."""
    labels = torch.arange(1, call.entries + 1, dtype=torch.float64, device=call.device)
    labels = labels.reshape(call.in_shape)
    moved = call.evaluate(labels) - call.evaluate(torch.zeros_like(labels))
    index = moved.round().to(torch.int64) - 1
    if not torch.equal(moved, moved.round()) or int(index.min()) < -1:
        return None
    return Gather(call.in_shape, index, dtype=call.dtype)


def padded(call: Call) -> LinearOperator | None:
    """Zeros around the variable; a constant border is no part of the linear map."""
    widths = list(call.number("pad"))
    if min(widths, default=0) < 0:
        return moved(call)
    pairs = list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    amounts = [(0, 0)] * (len(call.in_shape) - len(pairs)) + pairs
    return lead_dropped(
        call, lambda shape: Pad(shape, amounts[-len(shape) :], dtype=call.dtype, device=call.device)
    )


def sliced(call: Call) -> LinearOperator | None:
    """Part of one axis."""
    axis = call.number("dim") % len(call.in_shape)
    cuts = [slice(None)] * len(call.in_shape)
    cuts[axis] = slice(call.number("start"), call.number("end"), call.number("step"))
    return Select(call.in_shape, cuts, dtype=call.dtype, device=call.device)


def concatenated(call: Call) -> LinearOperator | None:
    """The variable among other tensors, which are zero here."""
    axis = call.number("dim", 0) % len(call.out_shape)
    tensors = call.arguments["tensors"]
    place = call.place[1]
    assert place is not None
    before = sum(tensor.meta["val"].shape[axis] for tensor in tensors[:place])
    after = call.out_shape[axis] - before - call.in_shape[axis]
    amounts = [(0, 0)] * len(call.in_shape)
    amounts[axis] = (before, after)
    return Pad(call.in_shape, amounts, dtype=call.dtype, device=call.device)


def broadcast(call: Call, factor: Tensor | float = 1.0) -> LinearOperator:
    """Multiplies the variable, spread to the result's shape, by a constant."""
    shape = call.out_shape
    steps: list[LinearOperator] = []
    if call.in_shape != shape:
        if call.entries == math.prod(shape):
            steps = [Reshape(call.in_shape, shape, dtype=call.dtype, device=call.device)]
        else:
            labels = torch.arange(call.entries, device=call.device).reshape(call.in_shape)
            steps = [Gather(call.in_shape, labels.expand(shape), dtype=call.dtype)]
    scale = torch.as_tensor(factor, dtype=call.dtype, device=call.device)
    if scale.numel() == 1 and float(scale) == 1.0:
        return steps[0] if steps else identity(call)
    scale = scale.reshape((1,) * (len(shape) - scale.ndim) + tuple(scale.shape))
    if len(shape) > 1 and shape[0] == 1:
        inner = shape[1:]
        steps = [
            shaped(call, inner, shape),
            Diagonal(scale[0], inner),
            shaped(call, shape, inner),
            *steps,
        ]
    else:
        steps = [Diagonal(scale, shape), *steps]
    return compose(*steps)


def added(call: Call) -> LinearOperator | None:
    """A sum with a constant, or with another variable."""
    factor = 1.0 if call.place[0] == "self" else float(call.number("alpha", 1))
    return broadcast(call, factor)


def subtracted(call: Call) -> LinearOperator | None:
    """A difference, either way round."""
    # rsub computes other - alpha * self, sub computes self - alpha * other
    scaled = "self" if call.name == "aten.rsub" else "other"
    factor = -float(call.number("alpha", 1)) if call.place[0] == scaled else 1.0
    return broadcast(call, factor)


def multiplied(call: Call) -> LinearOperator | None:
    """A product with a constant."""
    return broadcast(call, call.number("other" if call.place[0] == "self" else "self"))


def divided(call: Call) -> LinearOperator | None:
    """A quotient by a constant."""
    if call.place[0] != "self" or call.number("rounding_mode") is not None:
        return None
    other = call.number("other")
    return broadcast(call, 1 / torch.as_tensor(other, dtype=call.dtype, device=call.device))


def negated(call: Call) -> LinearOperator | None:
    """The opposite."""
    return broadcast(call, -1.0)


def batch_normed(call: Call) -> LinearOperator | None:
    """BatchNorm with running statistics."""
    frozen = call.name == "aten._native_batch_norm_legit_no_training"
    if call.place[0] != "input" or call.item != 0 or call.number("training", not frozen):
        return None
    eps = call.number("eps", call.number("epsilon"))
    variance, weight = call.number("running_var"), call.number("weight")
    return lead_dropped(call, lambda shape: batch_norm(shape, variance, weight, eps))
