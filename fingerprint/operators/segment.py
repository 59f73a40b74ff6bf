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

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.call import Call, places
from fingerprint.operators.centring import centring, normalised_entries
from fingerprint.operators.composed import Stack
from fingerprint.operators.parallel import added
from fingerprint.operators.reshape import Reshape
from fingerprint.operators.rules import JOINT, RULES, SILENT, linear_part
from fingerprint.operators.simplify import compose
from fingerprint.operators.trace import Trace, TraceError, operation, trace

__all__ = ["AffineSegment", "first_affine_segment"]

_MOST_OPERATIONS = 512
"""Affine values built of more operations than this count as nonlinear, which is safe."""


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
    dtype: torch.dtype = torch.float64,
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
        dtype: What the operator is made of, whatever the network's own precision.
        device: Where the network is and the operator shall be; taken from ``f`` if omitted.

    Returns:
        The segment; without an operator, but with a reason, if the network cannot be traced.
    """
    shape = tuple(in_shape)
    place = torch.device(device) if device is not None else _device(f)
    try:
        traced = trace(f, shape, dtype=_dtype(f, shape, place), device=place)
        return _Walk(traced, shape, dtype, place).segment()
    except TraceError as error:
        return AffineSegment(operator=None, reason=f"the network cannot be traced: {error}")


class _Walk:
    """One pass over a trace in the order of computation."""

    def __init__(
        self, traced: Trace, in_shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.trace = traced
        self.dtype = dtype
        self.device = device
        start = Reshape(in_shape, (1, *in_shape), dtype=dtype, device=device)
        self.operators: dict[fx.Node, LinearOperator] = {traced.input: start}
        self.sizes = {traced.input: 1}
        # What an affine value is an injective image of, by rearranging and scaling.
        self.cores = {traced.input: traced.input}
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
            reason = "the output does not depend on the input"
            return AffineSegment(operator=None, reason=reason)
        centred = self._centred()
        operators = [self._without_batch(self.operators[node]) for node in frontier]
        if centred is not None:
            operators = [self._without_batch(centred)]
        enders = [name for node in frontier for name in self.readers[node]]
        return AffineSegment(
            operator=operators[0] if len(operators) == 1 else Stack(operators),
            layers=(*self._layers(frontier), *(("centring",) if centred is not None else ())),
            ended_by=", ".join(dict.fromkeys(enders)),
            identity=centred is None
            and any(self.cores[node] is self.trace.input for node in frontier),
            centred=centred is not None,
            outputs=len(frontier),
        )

    def _visit(self, node: fx.Node) -> None:
        """Finds the operator of a node, or puts the affine values it reads in the frontier."""
        image = None if node.op == "output" else self._image(node)
        if image is not None:
            self.operators[node] = image
        elif node not in self.bundles:
            picks = node.op != "output" and operation(node) == "getitem"
            reader = _short(node.all_input_nodes[0] if picks else node)
            for parent in self._opened(node.all_input_nodes):
                if parent in self.operators:
                    self.readers.setdefault(parent, []).append(reader)

    def _image(self, node: fx.Node) -> LinearOperator | None:
        source, item = node, None
        if operation(node) == "getitem" and node.args[0] in self.bundles:
            source, item = node.all_input_nodes[0], int(node.args[1])  # type: ignore[arg-type]
        elif not self._affine_inputs(node):
            return None
        value = node.meta.get("val")
        if item is None and isinstance(value, tuple | list):
            self.bundles.add(node)
            return None
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return None
        return self._sum_over_places(node, source, item)

    def _affine_inputs(self, node: fx.Node) -> bool:
        """Whether a node has a rule, and reads affine values in a way that it is for."""
        if operation(node) not in RULES:
            return False
        variables = [v for _, v in places(node, self.trace.dependent.__contains__)]
        return all(v in self.operators for v in variables) and (
            len(variables) == 1 or operation(node) in JOINT
        )

    def _sum_over_places(
        self, node: fx.Node, source: fx.Node, item: int | None
    ) -> LinearOperator | None:
        found = list(places(source, self.trace.dependent.__contains__))
        size = 1 + sum(self.sizes[variable] for _, variable in found)
        if not found or size > _MOST_OPERATIONS:
            return None
        parts = []
        for place, variable in found:
            call = Call(
                node=source,
                place=place,
                variable=variable,
                item=item,
                out_shape=tuple(node.meta["val"].shape),
                trace=self.trace,
                dtype=self.dtype,
                device=self.device,
            )
            part = linear_part(call)
            if part is None:
                return None
            parts.append((part, variable))
        self.sizes[node] = size
        first, variable = parts[0]
        only_moved = len(parts) == 1 and first.is_injective
        self.cores[node] = self.cores[variable] if only_moved else node
        if operation(source) == "aten.cat" and len(parts) == len(source.all_input_nodes):
            axis = call.number("dim", 0) % len(call.out_shape)
            return Stack([self.operators[variable] for _, variable in parts], dim=axis)
        images = [compose(part, self.operators[variable]) for part, variable in parts]
        return added(images)

    def _centred(self) -> LinearOperator | None:
        """Returns the input less its means, if layer normalisation is all that reads it."""
        if len(self.readers) != 1:
            return None
        (node,) = self.readers
        entries = normalised_entries(node, self.trace)
        if self.cores[node] is not self.trace.input or entries is None:
            return None
        operator = self.operators[node]
        centre = centring(operator.out_shape, entries, dtype=self.dtype, device=self.device)
        return compose(centre, operator)

    def _reduced_frontier(self) -> list[fx.Node]:
        """Drops frontier values that are affine functions of other frontier values."""
        by_core: dict[fx.Node, fx.Node] = {}
        for node in self.trace.graph.nodes:
            if node in self.readers:
                kept = by_core.setdefault(self.cores[node], node)
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

    def _without_batch(self, operator: LinearOperator) -> LinearOperator:
        shape = operator.out_shape
        if len(shape) < 2 or shape[0] != 1:
            return operator
        drop = Reshape(shape, shape[1:], dtype=self.dtype, device=self.device)
        return compose(drop, operator)

    def _layers(self, frontier: list[fx.Node]) -> tuple[str, ...]:
        inside = _ancestors(frontier)
        names = []
        for node in self.trace.graph.nodes:
            dependent = node in self.trace.dependent and node is not self.trace.input
            if node in inside and dependent and operation(node) not in SILENT:
                names.append(self._label(node))
        return tuple(dict.fromkeys(names))

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
