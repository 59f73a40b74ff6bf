"""One operation of a trace, and what it turns out to be on noise.

    call = Operation(trace, node, None, variables)
    call.layer()        # an operator with structure, where the table has a reader for it
    call.moves()        # which entries go where, if that is all it does
    call.is_affine()    # anything else

The table only says what is worth trying. An operator that is wrong would make harmful
perturbations pass for harmless, so each answer is compared with the operation itself: forms of an
operation that a later torch may add are found out, too.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, fx
from torch.func import vjp

from fingerprint.operators.affine import OPERATIONS
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.entries import Entries
from fingerprint.operators.layers import Call
from fingerprint.operators.linearized import slope
from fingerprint.operators.trace import Trace, operation

__all__ = ["Operation"]

_CLOSE = 1e-9
"""Difference from the operation itself, relative to its largest answers, that rounding explains."""


class Operation:
    """One operation as a function of the values it reads that depend on the input.

    Attributes:
        trace: Gives the values of constants.
        node: The operation.
        item: Which of several results is meant; None for a single result.
        variables: What it is a function of.
    """

    def __init__(
        self, trace: Trace, node: fx.Node, item: int | None, variables: list[fx.Node]
    ) -> None:
        """Runs the operation on noise and on zeros.

        Raises:
            RuntimeError: It does not take float64, or whatever else torch raises.
        """
        self.trace = trace
        self.node = node
        self.item = item
        self.variables = variables
        generator = torch.Generator().manual_seed(0)
        fakes = [variable.meta["val"] for variable in variables]
        self.zeros = tuple(
            torch.zeros(tuple(f.shape), dtype=torch.float64, device=f.device) for f in fakes
        )
        noise = [torch.randn(z.shape, generator=generator, dtype=z.dtype) for z in self.zeros]
        self.noise = tuple(x.to(z.device) for x, z in zip(noise, self.zeros, strict=True))
        with torch.no_grad():
            answer, offset = self(*self.noise), self(*self.zeros)
        self.expected = answer - offset
        self.slack = _CLOSE * float(answer.abs().max() + offset.abs().max())

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Runs the operation on values of its variables."""
        result = self.trace.run(self.node, dict(zip(self.variables, tensors, strict=True)))
        chosen = result if self.item is None else result[self.item]
        assert isinstance(chosen, Tensor)
        return chosen

    def layer(self) -> LinearOperator | None:
        """Returns the operation as a layer with structure; None if it is none."""
        read = OPERATIONS[operation(self.node)].read
        if (
            read is None
            or len(self.variables) > 1
            or _occurrences(self.node, self.variables[0]) > 1
        ):
            return None
        with torch.no_grad():
            found = read(Call(trace=self.trace, node=self.node, variable=self.variables[0]))
            if found is None or found.m != self.expected.numel():
                return None
            answer = found.matvec(self.noise[0].reshape(found.in_shape))
        return found if self._agrees(answer) else None

    def moves(self) -> list[Entries] | None:
        """Returns, for each variable, which of its entries go where; None if they are mixed."""
        found = [
            Entries.read(partial(self._along, place), tuple(zero.shape), device=zero.device)
            for place, zero in enumerate(self.zeros)
        ]
        answers = [move.matvec(x) for move, x in zip(found, self.noise, strict=True)]
        return found if self._agrees(torch.stack(answers).sum(dim=0)) else None

    def is_affine(self) -> bool:
        """Whether slopes tell the answer to noise, forth and back."""
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(self.expected.shape, generator=generator, dtype=torch.float64)
        weights = weights.to(self.expected.device)
        if not self._agrees(self._slope(list(self.noise))):
            return False
        with torch.enable_grad():
            pulled = vjp(self, *self.zeros)[1](weights)
        back = sum(float((p * x).sum()) for p, x in zip(pulled, self.noise, strict=True))
        forth = float((weights * self.expected).sum())
        return abs(back - forth) <= self.slack * float(weights.abs().sum())

    def _along(self, place: int, x: Tensor) -> Tensor:
        """Returns the slope along one variable, of a batch of one."""
        tangents = [torch.zeros_like(zero) for zero in self.zeros]
        tangents[place] = x[0]
        return self._slope(tangents).unsqueeze(0)

    def _slope(self, tangents: list[Tensor]) -> Tensor:
        return slope(self, self.zeros, tuple(tangents)).detach()

    def _agrees(self, answer: Tensor) -> bool:
        """Whether an answer to the noise is the operation's own."""
        off = (answer.reshape(self.expected.shape) - self.expected).abs().max()
        return bool(off <= self.slack)


def _occurrences(node: fx.Node, variable: fx.Node) -> int:
    found = 0

    def count(one: fx.Node) -> fx.Node:
        nonlocal found
        found += one is variable
        return one

    fx.map_arg((node.args, node.kwargs), count)
    return found
