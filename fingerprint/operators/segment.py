"""The first affine segment: what a network computes before anything nonlinear happens.

    segment = first_affine_segment(model, (3, 224, 224))
    segment.operator    # the linear part A of every way from the input to a nonlinearity
    segment.layers      # ("div", "conv1", "bn1")
    segment.ended_by    # "relu"

Every value that is an affine function of the input and is read by something that is not (or
is returned) belongs to the *frontier*. A perturbation δ with A δ = 0, A being the linear parts
of the frontier stacked, leaves all of them as they are, hence everything after them: it is
harmless for every input, at every magnitude.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from fingerprint.errors import UsageError
from fingerprint.operators.affine import OPERATIONS
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.centring import centring, normalised_entries
from fingerprint.operators.composed import compose, stacked
from fingerprint.operators.entries import Entries
from fingerprint.operators.linearized import Linearized
from fingerprint.operators.operation import Operation
from fingerprint.operators.parts import Part, combined, joined
from fingerprint.operators.trace import Trace, TraceError, operation, trace

__all__ = ["AffineSegment", "first_affine_segment", "linear_operator"]

_MOST_PARTS = 16
"""A sum of more layers than this is kept as a function."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AffineSegment:
    """The first affine segment of a network.

    Attributes:
        operator: Its linear part, from ``in_shape`` to the frontier; None if not found.
        layers: What it is composed of, in order: module names where weights tell them, else
            names of operations.
        ended_by: Operations that read the frontier, comma-separated; ``output`` if returned.
        identity: Whether the input itself, or an injective image of it by rearranging and
            scaling, is in the frontier: the harmless space is then trivial.
        centred: Whether the operator only subtracts means, for the layer normalisation that
            reads the input: every network that begins with one has the same null space.
        outputs: How many values the frontier has, repetitions left out.
        reason: Why there is no operator; empty if there is one.
    """

    operator: LinearOperator | None
    layers: tuple[str, ...] = ()
    ended_by: str = ""
    identity: bool = False
    centred: bool = False
    outputs: int = 0
    reason: str = ""

    @property
    def found(self) -> bool:
        """Whether there is an operator."""
        return self.operator is not None


def first_affine_segment(
    f: Callable[[Tensor], Any],
    in_shape: tuple[int, ...],
    *,
    device: torch.device | str | None = None,
) -> AffineSegment:
    """Walks from the input of a network to its first nonlinearities.

    Costs one trace on fake tensors (about as long as a few forward passes); no weight is
    copied but those of the segment.

    Args:
        f: A network as a function of a batch ``(N, *in_shape)``: a ``Model``, a module in
            evaluation mode, or any function of torch operations that treats the samples of a
            batch separately.
        in_shape: Shape of one input.
        device: Where the network is and the operator shall be; taken from ``f`` if omitted.

    Returns:
        The segment; without an operator, but with a reason, if the network cannot be traced.
    """
    shape = tuple(in_shape)
    place = torch.device(device) if device is not None else _device(f)
    try:
        traced = trace(f, shape, dtype=_dtype(f, shape, place), device=place)
        return _Walk(traced, shape, place).segment()
    except TraceError as error:
        return AffineSegment(operator=None, reason=f"the network cannot be traced: {error}")


def linear_operator(
    f: Callable[[Tensor], Any],
    in_shape: tuple[int, ...],
    *,
    device: torch.device | str | None = None,
) -> LinearOperator:
    """Returns the linear part of a layer, its bias left out, in float64.

    Args:
        f: A layer in evaluation mode, several in a sequence, or any affine function of a batch.
        in_shape: Shape of one input, without the batch dimension.
        device: Where it is; taken from ``f`` if omitted.

    Raises:
        UsageError: It is not affine, is in training mode, or does not fit the input.
    """
    segment = first_affine_segment(f, in_shape, device=device)
    if segment.operator is None or segment.ended_by != "output":
        why = segment.reason or f"{segment.ended_by} is not affine"
        name = type(f).__name__ if isinstance(f, nn.Module) else "a function"
        raise UsageError(
            f"linear operator: expected an affine layer in evaluation mode that takes inputs of "
            f"shape {tuple(in_shape)}, got {name}: {why}"
        )
    return segment.operator


@dataclass(frozen=True, kw_only=True, eq=False)
class _Value:
    """An affine function of the input.

    Attributes:
        parts: What it is the sum of; None where it is no sum of few such parts.
        core: What it is an injective image of, by rearranging and scaling; the node itself if
            of nothing.
    """

    parts: tuple[Part, ...] | None
    core: fx.Node


class _Walk:
    """One pass over a trace in the order of computation."""

    def __init__(self, traced: Trace, in_shape: tuple[int, ...], device: torch.device) -> None:
        self.trace = traced
        self.in_shape = in_shape
        self.device = device
        start = Entries.identity(in_shape, (1, *in_shape), device=device)
        part = Part(left=start, layer=None, key=traced.input)
        self.values = {traced.input: _Value(parts=(part,), core=traced.input)}
        # Operations with several results, looked at when one of the results is picked.
        self.bundles: set[fx.Node] = set()
        self.readers: dict[fx.Node, list[str]] = {}

    def segment(self) -> AffineSegment:
        live = _ancestors([self.trace.output])
        for node in self.trace.graph.nodes:
            if node in live and node in self.trace.dependent and node is not self.trace.input:
                self._visit(node)
        frontier = self._reduced_frontier()
        if not frontier:
            reason = "the network's answer does not depend on its input"
            return AffineSegment(operator=None, reason=reason)
        centred = self._centred()
        operators = [self._operator(node) for node in frontier] if centred is None else [centred]
        enders = [name for node in frontier for name in self.readers[node]]
        return AffineSegment(
            operator=operators[0] if len(operators) == 1 else stacked(operators),
            layers=(*self._layers(frontier), *(("centring",) if centred is not None else ())),
            ended_by=", ".join(dict.fromkeys(enders)),
            identity=centred is None
            and any(self.values[node].core is self.trace.input for node in frontier),
            centred=centred is not None,
            outputs=len(frontier),
        )

    # ---- one operation ----

    def _visit(self, node: fx.Node) -> None:
        """Notes an affine value, or puts the affine values a node reads in the frontier."""
        value = None if node.op == "output" else self._value(node)
        if value is not None:
            self.values[node] = value
        elif node not in self.bundles:
            picks = node.op != "output" and operation(node) == "getitem"
            reader = _short(node.all_input_nodes[0] if picks else node)
            for parent in self._opened(node.all_input_nodes):
                if parent in self.values:
                    self.readers.setdefault(parent, []).append(reader)

    def _value(self, node: fx.Node) -> _Value | None:
        source, item = node, None
        if operation(node) == "getitem" and node.args[0] in self.bundles:
            source, item = node.all_input_nodes[0], int(node.args[1])  # type: ignore[arg-type]
        variables = [v for v in source.all_input_nodes if v in self.trace.dependent]
        if operation(source) not in OPERATIONS or not all(v in self.values for v in variables):
            return None
        result = node.meta.get("val")
        if item is None and isinstance(result, tuple | list):
            self.bundles.add(node)
            return None
        if not isinstance(result, Tensor) or not result.is_floating_point() or not variables:
            return None
        try:
            return self._affine(node, Operation(self.trace, source, item, variables))
        except (UsageError, RuntimeError, KeyError, TypeError, ValueError):
            # A form of the operation nothing here was written for: not affine is always safe.
            return None

    def _affine(self, node: fx.Node, call: Operation) -> _Value | None:
        """Returns what an operation makes of affine values; None if it is not affine itself."""
        values = [self.values[variable] for variable in call.variables]
        layer = call.layer()
        if layer is not None:
            return _Value(parts=self._behind(node, layer, values[0]), core=node)
        moves = call.moves()
        if moves is None:
            return _Value(parts=None, core=node) if call.is_affine() else None
        alone = len(moves) == 1 and moves[0].is_injective
        parts = [
            Part(left=move.after(part.left), layer=part.layer, key=part.key)
            for move, value in zip(moves, values, strict=True)
            for part in value.parts or ()
        ]
        known = all(value.parts is not None for value in values)
        fewer = joined(parts) if known else ()
        return _Value(
            parts=fewer if 0 < len(fewer) <= _MOST_PARTS else None,
            core=values[0].core if alone else node,
        )

    def _behind(
        self, node: fx.Node, layer: LinearOperator, value: _Value
    ) -> tuple[Part, ...] | None:
        """Puts a layer behind a value of one part."""
        if value.parts is None or len(value.parts) != 1:
            return None
        (part,) = value.parts
        before = [part.left] if part.layer is None else [part.left, part.layer]
        shape = tuple(node.meta["val"].shape)
        same = Entries.identity(layer.out_shape, shape, device=self.device)
        return (Part(left=same, layer=compose(layer, *before), key=node),)

    # ---- the frontier ----

    def _operator(self, node: fx.Node) -> LinearOperator:
        """Returns the linear part of a value, without the batch dimension."""
        shape = tuple(node.meta["val"].shape)
        shape = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
        parts = self.values[node].parts
        return self._linearized(node, shape) if parts is None else combined(parts, shape)

    def _linearized(self, node: fx.Node, shape: tuple[int, ...]) -> LinearOperator:
        inside = _ancestors([node])
        order = [
            n
            for n in self.trace.graph.nodes
            if n in inside and n in self.trace.dependent and n is not self.trace.input
        ]

        def function(x: Tensor) -> Tensor:
            values = {self.trace.input: x.unsqueeze(0)}
            for one in order:
                values[one] = self.trace.run(one, values)
            return values[node].reshape(shape)

        return Linearized(function, self.in_shape, name=_short(node), device=self.device)

    def _centred(self) -> LinearOperator | None:
        """Returns the input less its means, if layer normalisation is all that reads it."""
        if len(self.readers) != 1:
            return None
        (node,) = self.readers
        entries = normalised_entries(node, self.trace)
        if self.values[node].core is not self.trace.input or entries is None:
            return None
        operator = self._operator(node)
        return compose(centring(operator.out_shape, entries, device=self.device), operator)

    def _reduced_frontier(self) -> list[fx.Node]:
        """Drops frontier values that are affine functions of other frontier values."""
        by_core: dict[fx.Node, fx.Node] = {}
        for node in self.trace.graph.nodes:
            if node in self.readers:
                kept = by_core.setdefault(self.values[node].core, node)
                if kept is not node:
                    self.readers[kept] += self.readers[node]
        return [node for core, node in by_core.items() if not self._follows(core, by_core)]

    def _follows(self, core: fx.Node, known: Iterable[fx.Node]) -> bool:
        """Whether every way back from a value to the input passes another known value."""
        if core is self.trace.input:
            return False
        others = set(known) - {core}
        reached = _ancestors(self._opened(core.all_input_nodes), stop=others)
        return self.trace.input not in reached - others

    def _opened(self, nodes: Iterable[fx.Node]) -> list[fx.Node]:
        """Replaces operations with several results by what they read."""
        return [
            inner
            for node in nodes
            for inner in (node.all_input_nodes if node in self.bundles else [node])
        ]

    def _layers(self, frontier: list[fx.Node]) -> tuple[str, ...]:
        inside = _ancestors(frontier)
        names = []
        for node in self.trace.graph.nodes:
            dependent = node in self.trace.dependent and node is not self.trace.input
            if node in inside and dependent and self._is_named(node):
                names.append(self._label(node))
        return tuple(dict.fromkeys(names))

    def _is_named(self, node: fx.Node) -> bool:
        row = OPERATIONS.get(operation(node))
        return row.named if row is not None else operation(node) != "getitem"

    def _label(self, node: fx.Node) -> str:
        constants = (p for p in node.all_input_nodes if p not in self.trace.dependent)
        tensor = next(filter(None, map(self.trace.tensor_name, constants)), "")
        module, _, _ = tensor.rpartition(".")
        return module or tensor or _short(node)


def _short(node: fx.Node) -> str:
    return "output" if node.op == "output" else operation(node).removeprefix("aten.")


def _ancestors(nodes: Iterable[fx.Node], stop: Iterable[fx.Node] = ()) -> set[fx.Node]:
    """Returns the nodes and everything they are computed from, not looking behind ``stop``."""
    borders = set(stop)
    seen: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            if node not in borders:
                waiting.extend(node.all_input_nodes)
    return seen


def _device(f: Callable[[Tensor], Any]) -> torch.device:
    if isinstance(f, nn.Module):
        return next((p.device for p in f.parameters()), torch.device("cpu"))
    found = getattr(f, "device", None)
    return found if isinstance(found, torch.device) else torch.device("cpu")


def _dtype(
    f: Callable[[Tensor], Any], in_shape: tuple[int, ...], device: torch.device
) -> torch.dtype:
    """Returns the precision a network takes: its own if it tells, else the first that works."""
    if isinstance(f, nn.Module):
        return next((p.dtype for p in f.parameters() if p.is_floating_point()), torch.float32)
    found = getattr(f, "dtype", None)
    if isinstance(found, torch.dtype):
        return found
    for dtype in (torch.float32, torch.float64):
        try:
            with torch.no_grad():
                f(torch.zeros(1, *in_shape, dtype=dtype, device=device))
        except Exception:  # whatever a stranger's network may raise; tracing tells the reason
            continue
        return dtype
    return torch.float32
