"""One traced operation, seen as a function of one of its tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from fingerprint.operators.trace import Trace, operation

__all__ = ["Call", "Place", "places"]

Place = tuple[str, int | None]
"""Where a tensor stands in a call: argument name, and position if the argument is a list."""


def named_arguments(node: fx.Node) -> dict[str, Any]:
    """Returns a node's arguments by the names of its schema, defaults filled in."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {f"arg{place}": value for place, value in enumerate(node.args)}
    named = {}
    for place, argument in enumerate(schema.arguments):
        if place < len(node.args):
            named[argument.name] = node.args[place]
        else:
            named[argument.name] = node.kwargs.get(argument.name, argument.default_value)
    return named


def places(node: fx.Node, wanted: Callable[[fx.Node], bool]) -> Iterator[tuple[Place, fx.Node]]:
    """Yields every argument of a node that is a wanted node, with its place."""
    for name, value in named_arguments(node).items():
        items = enumerate(value) if isinstance(value, list | tuple) else [(None, value)]
        for position, item in items:
            if isinstance(item, fx.Node) and wanted(item):
                yield (name, position), item


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """A node of the trace as a function of the tensor at one place, all others held at zero.

    Attributes:
        node: The operation.
        place: Which argument is the variable.
        variable: The node that stands there.
        item: Which of several results is meant; None for a single result.
        out_shape: Shape of that result.
        trace: Gives the values of constants.
        dtype: What operators shall be made of.
        device: Where operators shall live.
    """

    node: fx.Node
    place: Place
    variable: fx.Node
    item: int | None
    out_shape: tuple[int, ...]
    trace: Trace
    dtype: torch.dtype
    device: torch.device

    @property
    def name(self) -> str:
        """Name of the operation, such as ``aten.add``."""
        return operation(self.node)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape of the variable."""
        return tuple(self.variable.meta["val"].shape)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments by name, tensors as nodes."""
        return named_arguments(self.node)

    def number(self, name: str, default: Any = None) -> Any:
        """Returns an argument's value: numbers as they are, constant tensors converted."""
        value = self.arguments.get(name, default)
        return self._converted(self.trace.constant(value)) if isinstance(value, fx.Node) else value

    def axes(self, name: str = "dim") -> tuple[int, ...]:
        """Returns an argument that names axes of the variable, none negative; all if missing."""
        rank = len(self.in_shape)
        given = self.arguments.get(name)
        if isinstance(given, int):
            given = [given]
        return tuple(axis % rank for axis in given) if given else tuple(range(rank))

    def evaluate(self, value: Tensor) -> Tensor:
        """Runs the operation with the variable at ``value`` and other variables at zero."""
        arguments = [self._substituted(name, v, value) for name, v in self.arguments.items()]
        schema = self.node.target._schema.arguments  # type: ignore[union-attr]
        plain = [a for a, s in zip(arguments, schema, strict=True) if not s.kwarg_only]
        only = {s.name: a for a, s in zip(arguments, schema, strict=True) if s.kwarg_only}
        result = self.node.target(*plain, **only)  # type: ignore[operator]
        chosen = result if self.item is None else result[self.item]
        assert isinstance(chosen, Tensor)
        return chosen

    @property
    def entries(self) -> int:
        """Number of entries of the variable."""
        return math.prod(self.in_shape)

    def _substituted(self, name: str, argument: Any, value: Tensor) -> Any:
        if isinstance(argument, list | tuple):
            return [self._one((name, k), item, value) for k, item in enumerate(argument)]
        return self._one((name, None), argument, value)

    def _one(self, place: Place, argument: Any, value: Tensor) -> Any:
        if place == self.place:
            return value
        if not isinstance(argument, fx.Node):
            return argument
        constant = self.trace.constant(argument)
        if isinstance(constant, Tensor):
            constant = constant.to(value.device)
            return constant.to(value.dtype) if constant.is_floating_point() else constant
        return constant

    def _converted(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        value = value.detach().to(self.device)
        return value if value.dtype == torch.bool else value.to(self.dtype)
