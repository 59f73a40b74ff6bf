"""Elementary operations whose matrix has a structure: what each is as an operator.

A reader takes one call and the tensor that varies in it and returns the linear map from that
tensor to the result, or None where this form of the operation has no such structure. No reader
is taken at its word: see :mod:`fingerprint.operators.segment`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Repeated, compose
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.entries import Entries
from fingerprint.operators.pooling import Pooling
from fingerprint.operators.trace import Trace, named_arguments, operation

__all__ = ["Call", "Reader", "averaged", "convolved", "multiplied", "reduced"]

_LARGEST_PROBE = 2**24
"""Most entries of a tensor that is made to read an average or an interpolation off."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One operation as a function of one tensor, all else constant.

    Attributes:
        trace: Gives the values of constants.
        node: The operation.
        variable: The node of the tensor.
    """

    trace: Trace
    node: fx.Node
    variable: fx.Node

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape of the variable."""
        return tuple(self.variable.meta["val"].shape)

    @property
    def place(self) -> str:
        """Name of the argument where the variable stands."""
        arguments = named_arguments(self.node).items()
        return next((name for name, value in arguments if value is self.variable), "")

    def value(self, name: str, default: Any = None) -> Any:
        """Returns the value of a constant argument."""
        given = named_arguments(self.node).get(name, default)
        return self.trace.exact(given) if isinstance(given, fx.Node) else given

    def evaluate(self, x: Tensor) -> Tensor:
        """Runs the operation on the variable alone."""
        answer: Tensor = self.trace.run(self.node, {self.variable: x})
        return answer


Reader = Callable[[Call], LinearOperator | None]


def convolved(call: Call) -> LinearOperator | None:
    """Convolution with a constant kernel; a transposed one has no structure."""
    if call.place != "input" or call.value("transposed"):
        return None
    settings = {name: list(call.value(name)) for name in ("stride", "padding", "dilation")}
    weight, groups = call.value("weight"), call.value("groups")
    return _for_each(
        Convolution(weight, call.in_shape[1:], groups=groups, **settings), call.in_shape[:1]
    )


def multiplied(call: Call) -> LinearOperator | None:
    """Products with a constant matrix on either side; batches only if all share one matrix."""
    left, right = ("input", "weight") if operation(call.node) == "aten.linear" else ("mat1", "mat2")
    left = left if left in named_arguments(call.node) else "self"
    from_left = call.place == left
    if call.place not in (left, right):
        return None
    constant = call.value(right if from_left else left) * float(call.value("alpha", 1))
    if constant.ndim == 3:
        if not bool((constant == constant[:1]).all()):
            return None
        constant = constant[0]
    if from_left:
        matrix = constant if right == "weight" else constant.T.contiguous()
        return _for_each(Dense(matrix), call.in_shape[:-1])
    if right == "weight":
        return None
    turned = Entries.read(lambda x: x.transpose(-1, -2), call.in_shape, device=constant.device)
    mixed = _for_each(Dense(constant), turned.out_shape[:-1])
    shape = (*turned.out_shape[:-1], len(constant))
    back = Entries.read(lambda x: x.transpose(-1, -2), shape, device=constant.device)
    return compose(back, mixed, turned)


def reduced(call: Call) -> LinearOperator | None:
    """Mean or sum over some axes."""
    rank = len(call.in_shape)
    given = call.value("dim")
    given = [given] if isinstance(given, int) else given or range(rank)
    axes = [axis % rank for axis in given]
    kept = [axis for axis in range(rank) if axis not in axes]
    device = call.variable.meta["val"].device
    factors = []
    for axis in axes:
        size = call.in_shape[axis]
        entry = 1 / size if operation(call.node) == "aten.mean" else 1.0
        factors.append(torch.full((1, size), entry, dtype=torch.float64, device=device))
    order = (*kept, *axes)
    turned = Entries.read(
        lambda x: x.permute(0, *(a + 1 for a in order)), call.in_shape, device=device
    )
    return compose(Pooling(factors, turned.out_shape), turned)


def averaged(call: Call) -> LinearOperator | None:
    """Average pooling and interpolation, read off one axis at a time.

    With a bump at one place of one axis and ones along all others, the answer is the column of
    that place, times what the other axes make of ones.
    """
    axes = int(operation(call.node).removesuffix("_aa")[-2])
    shape, sizes = call.in_shape, call.in_shape[-axes:]
    if max(sizes) * math.prod(sizes) > _LARGEST_PROBE:
        return None
    device = call.variable.meta["val"].device
    whole = call.evaluate(torch.ones(1, 1, *sizes, dtype=torch.float64, device=device))[0, 0]
    middle = tuple(size // 2 for size in whole.shape)
    share = float(whole[middle])
    factors = []
    for axis, size in enumerate(sizes):
        bump = [1, size, *(size if place == axis else 1 for place in range(axes))]
        lines = torch.eye(size, dtype=torch.float64, device=device).reshape(bump)
        answer = call.evaluate(lines.expand(1, size, *sizes).contiguous())[0]
        at = tuple(slice(None) if place == axis else middle[place] for place in range(axes))
        factors.append(answer[(slice(None), *at)].T / (share if axis else 1.0))
    return Pooling(factors, shape)


def _for_each(operator: LinearOperator, times: tuple[int, ...]) -> LinearOperator:
    return operator if math.prod(times) == 1 else Repeated(operator, times)
