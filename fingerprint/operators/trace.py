"""What a network computes, as a graph of elementary operations on one input.

The function is traced with torch's ``make_fx`` on fake tensors: nothing is computed, in-place
writes are turned into plain operations, and anything that needs the values of the input
(branches on data, NumPy) ends the tracing with :class:`TraceError`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

__all__ = ["Trace", "TraceError", "named_arguments", "operation", "trace"]

Function = Callable[[Tensor], Any]

_NEVER_WRITTEN = frozenset(
    f"aten.{name}"
    for name in ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
)
"""Operations whose result holds whatever was in memory."""

_SAME_IN_FLOAT64: dict[str, Callable[..., Any]] = {
    # A view asks for strides that only the traced tensor need have.
    "aten._unsafe_view": torch.ops.aten.reshape.default,
    "aten.view": torch.ops.aten.reshape.default,
    # These two have no derivative by forward differentiation, or cut it off.
    "aten.copy": lambda held, given, *_: given.expand_as(held).clone(),
    "aten.detach": torch.ops.aten.clone.default,
}
"""What stands for an operation where it is run and differentiated again."""

_SHAPE_ONLY = frozenset(
    f"aten.{name}"
    for name in (
        "empty_like",
        "full_like",
        "new_empty",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "zeros_like",
    )
)
"""Operations whose result is the same for every value of their tensor."""


class TraceError(Exception):
    """The function could not be written as a graph; the message is the reason, one line."""


class Trace:
    """A traced function and the values of the parts that do not depend on its input.

    Attributes:
        graph: Elementary operations in order, without those that reach no output.
        input: The node of the input, shape ``(1, *in_shape)``.
        output: The node that returns.
        dependent: Nodes whose value changes with the input's values, or from call to call.
    """

    def __init__(self, module: fx.GraphModule, names: dict[int, str]) -> None:
        """Takes what ``make_fx`` gave, and the names of known tensors by their ``id``."""
        module.graph.eliminate_dead_code()
        self.graph = module.graph
        nodes = list(self.graph.nodes)
        self.input = next(node for node in nodes if node.op == "placeholder")
        self.output = nodes[-1]
        self.dependent = {self.input}
        for node in nodes:
            reads = any(parent in self.dependent for parent in node.all_input_nodes)
            if _is_random(node) or (reads and operation(node) not in _SHAPE_ONLY):
                self.dependent.add(node)
        self._module = module
        self._names = names
        self._values: dict[fx.Node, Any] = {}
        self._exact: dict[fx.Node, Any] = {}

    def run(self, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
        """Computes one operation again, in float64.

        Args:
            node: The operation.
            values: Of the nodes it reads that depend on the input.

        Returns:
            Its result, with constants and conversions between precisions in float64.
        """

        def value(parent: fx.Node) -> Any:
            return values[parent] if parent in values else self.exact(parent)

        args = fx.map_arg(node.args, value)
        kwargs = {
            name: torch.float64 if _is_precision(given) else given
            for name, given in fx.map_arg(node.kwargs, value).items()
        }
        function: Any = node.target
        if getattr(function, "_overloadname", "default") == "default":
            function = _SAME_IN_FLOAT64.get(operation(node), function)
        return function(*args, **kwargs)

    def exact(self, node: fx.Node) -> Any:
        """Returns :meth:`constant`, floating-point numbers in float64."""
        if node not in self._exact:
            value = self.constant(node)
            if isinstance(value, Tensor):
                value = value.detach()
                value = value.to(torch.float64) if value.is_floating_point() else value
            self._exact[node] = value
        return self._exact[node]

    def constant(self, node: fx.Node) -> Any:
        """Computes a node that does not depend on the input's values.

        Args:
            node: A node whose ancestors are weights; where it only takes the *shape* of
                something that depends on the input, zeros of that shape stand in.
        """
        if node not in self._values:
            self._values[node] = self._compute(node)
        return self._values[node]

    def tensor_name(self, node: fx.Node) -> str:
        """Returns the name of the first named weight a constant is made of, or ``""``."""
        if node.op == "get_attr":
            return self._names.get(id(getattr(self._module, str(node.target))), "")
        found = (self.tensor_name(parent) for parent in node.all_input_nodes)
        return next(filter(None, found), "")

    def _compute(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            return getattr(self._module, str(node.target))
        if node in self.dependent:
            return _zeros_like_fake(node)
        function = node.target
        if not callable(function):
            raise TraceError(f"operation {node.target} is not a function")

        def value(parent: fx.Node) -> Any:
            return self.constant(parent)

        args = fx.map_arg(node.args, value)
        kwargs = fx.map_arg(node.kwargs, value)
        with torch.no_grad():
            result = function(*args, **kwargs)
        # Memory never written to may hold anything, also what is no number.
        return torch.zeros_like(result) if operation(node) in _NEVER_WRITTEN else result


def operation(node: fx.Node) -> str:
    """Returns the name of a node's operation without its overload, such as ``aten.add``."""
    packet = getattr(node.target, "overloadpacket", None)
    return str(packet) if packet is not None else getattr(node.target, "__name__", str(node.target))


def named_arguments(node: fx.Node) -> dict[str, Any]:
    """Returns a node's arguments by the names of its schema, defaults filled in."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {f"arg{place}": value for place, value in enumerate(node.args)}
    return {
        argument.name: node.args[place]
        if place < len(node.args)
        else node.kwargs.get(argument.name, argument.default_value)
        for place, argument in enumerate(schema.arguments)
    }


def trace(
    f: Function, in_shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device
) -> Trace:
    """Writes a function of one batch as a graph.

    Args:
        f: Takes a tensor ``(1, *in_shape)``; a module should be in evaluation mode.
        in_shape: Shape of one input.
        dtype: What the function takes.
        device: Where its weights are.

    Raises:
        TraceError: Tracing failed, for any reason.
    """
    example = torch.zeros(1, *in_shape, dtype=dtype, device=device)
    try:
        with torch.no_grad(), _quiet(), _ValuesStayHidden():
            module = _traced(f, example)
            if _written(module):
                # Some operations of torch are made of others that write in place, which only
                # show once they are taken apart.
                module = _traced(module, example)
    except TraceError:
        raise
    except Exception as error:  # whatever a stranger's network may raise
        first_line = (str(error).strip() or "no message").splitlines()[0]
        raise TraceError(f"{type(error).__name__}: {first_line}") from error
    if written := _written(module):
        raise TraceError(f"{written} writes in place")
    return Trace(module, _names(f))


def _traced(f: Function, example: Tensor) -> fx.GraphModule:
    return make_fx(functionalize(f), tracing_mode="fake", _allow_non_fake_inputs=True)(example)


def _written(module: fx.GraphModule) -> str:
    """Returns the name of an operation that writes into what it reads; empty if there is none.

    Buffers are left out: what a forward pass leaves in them is no part of its answer.
    """
    for node in module.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema and schema.is_mutable and node.all_input_nodes[0].op != "get_attr":
            return operation(node)
    return ""


class _ValuesStayHidden(TorchFunctionMode):
    """Refuses to hand out values while tracing: there are none, only memory never written to."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Lets every call through but those that read memory outside the dispatcher."""
        name = getattr(func, "__name__", "")
        if name in _READS_MEMORY and any(_is_traced(value) for value in args):
            raise TraceError(f"{name} takes values out of torch")
        return func(*args, **(kwargs or {}))


_READS_MEMORY = frozenset(
    {"__array__", "__dlpack__", "data_ptr", "numpy", "storage", "tolist", "untyped_storage"}
)


def _is_traced(value: Any) -> bool:
    return isinstance(value, Tensor) and torch._is_functional_tensor(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps warnings and torch's log of failed operations off the terminal: we tell the reason."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _is_random(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _is_precision(value: Any) -> bool:
    return isinstance(value, torch.dtype) and value.is_floating_point


def _names(f: Function) -> dict[int, str]:
    module = f if isinstance(f, nn.Module) else getattr(f, "module", None)
    if not isinstance(module, nn.Module):
        return {}
    named = [*module.named_parameters(), *module.named_buffers()]
    return {id(tensor): name for name, tensor in named}


def _zeros_like_fake(node: fx.Node) -> Tensor:
    fake = node.meta["val"]
    return torch.zeros(tuple(fake.shape), dtype=fake.dtype, device=fake.device)
