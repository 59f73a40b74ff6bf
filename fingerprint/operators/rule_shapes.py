"""Small steps that the rules for elementary operations share: shapes and leading axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.call import Call
from fingerprint.operators.composed import Repeated
from fingerprint.operators.reshape import Reshape
from fingerprint.operators.simplify import compose

__all__ = ["identity", "lead_dropped", "repeated", "shaped"]


def shaped(call: Call, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Reshape:
    """A reshape in the call's precision."""
    return Reshape(in_shape, out_shape, dtype=call.dtype, device=call.device)


def identity(call: Call) -> Reshape:
    """The variable itself."""
    return shaped(call, call.in_shape, call.in_shape)


def lead_dropped(call: Call, make: Callable[[tuple[int, ...]], LinearOperator]) -> LinearOperator:
    """Makes an operator for one sample and repeats it along the first axis."""
    return repeated(call, make(call.in_shape[1:]), call.in_shape[:1])


def repeated(call: Call, operator: LinearOperator, times: Sequence[int]) -> LinearOperator:
    """Repeats an operator along leading axes; along axes of size 1 it is only reshaped."""
    times = tuple(times)
    if math.prod(times) != 1:
        return Repeated(operator, times)
    out = shaped(call, operator.out_shape, (*times, *operator.out_shape))
    return compose(out, operator, shaped(call, (*times, *operator.in_shape), operator.in_shape))
