"""What a network computes in one real forward pass, call by call.

    for call in record(model, x, measure).calls:
        call.name, call.kind.label, call.in_shape, call.out_shape

A mode of ``torch.overrides`` sees every function that is called on something that depends on
the input, so a ReLU that a forward pass writes as ``F.relu`` is seen as one that is a module.
Hooks tell whose forward pass is running. No feature map outlives the call that reads it: of
affine calls the weights are kept, by reference, of others what ``measure`` made of them.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from fingerprint.inspection.kinds import Kind, kind_of, name_of
from fingerprint.network.model import Model
from fingerprint.network.run import full_precision
from fingerprint.operators.affine import GLUE

__all__ = ["AffineCall", "LayerCall", "Measure", "Recording", "named", "record"]

Measure = Callable[[str, Tensor, tuple[Any, ...], dict[str, Any]], Any]
"""Called as ``measure(function, z, other arguments, keywords)`` before a nonlinear call runs."""

_OPENED = frozenset({"multi_head_attention_forward"})
"""Functions made of layers: what they call is recorded in their place."""

_SHORT = {"scaled_dot_product_attention": "attention"}


class AffineCall:
    """An affine call with everything but its variable fixed: a function of one batch.

    Attributes:
        dtype: What it takes.
        device: Where its weights are.
        constants: How many numbers its weights have.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        variable: Tensor,
    ) -> None:
        self.dtype = variable.dtype
        self.device = variable.device
        self._function = function
        self._args = _replaced(args, variable, _Variable)
        self._kwargs = _replaced(kwargs, variable, _Variable)
        self.constants = sum(t.numel() for t in _tensors((self._args, self._kwargs)))

    def __call__(self, x: Tensor) -> Tensor:
        """Makes the call on another tensor."""
        args, kwargs = (_replaced(part, _Variable, x) for part in (self._args, self._kwargs))
        answer: Tensor = self._function(*args, **kwargs)
        return answer


class _Variable:
    """Stands where the variable of a call goes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerCall:
    """One layer as it was used.

    Attributes:
        name: Path of the module whose forward pass made the call, and the function where the
            module makes several; all names of a recording are different.
        function: Name of the function.
        kind: What it is as a layer.
        in_shape: Shape of the tensor it read, batch dimension included.
        out_shape: Shape of what it gave, batch dimension included.
        apply: The call as a function of its variable; None unless it is affine.
        measured: What ``measure`` returned; None for affine calls.
    """

    name: str
    function: str
    kind: Kind
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    apply: AffineCall | None = None
    measured: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """What one forward pass computed.

    Attributes:
        calls: The layers in the order of their calls.
        unlisted: Names of the functions, beyond glue, that are no layers, in order of first use.
        answer: What the network answered, shape ``(1, classes)``.
    """

    calls: tuple[LayerCall, ...]
    unlisted: tuple[str, ...]
    answer: Tensor


def record(model: Model, x: Tensor, measure: Measure) -> Recording:
    """Runs a network once and notes the layers it used.

    Args:
        model: The network.
        x: One input, shape ``(1, *model.input.shape)``, in ``model.input.bounds``.
        measure: Makes facts of a nonlinear call's input, before an in-place call overwrites it.
    """
    recorder = _Recorder(measure)
    with torch.no_grad(), full_precision(), _followed(model.module, recorder.path), recorder:
        given = x.clone()
        recorder.mark(given)
        answer = model(given)
    names = named([(entry.path, entry.leaf, entry.function) for entry in recorder.entries])
    calls = [
        LayerCall(
            name=name,
            function=entry.function,
            kind=entry.kind,
            in_shape=entry.in_shape,
            out_shape=entry.out_shape,
            apply=entry.apply,
            measured=entry.measured,
        )
        for name, entry in zip(names, recorder.entries, strict=True)
    ]
    return Recording(calls=tuple(calls), unlisted=tuple(recorder.unlisted), answer=answer)


@dataclass(kw_only=True)
class _Entry:
    """A call as it is noted, before it has a name."""

    path: str
    leaf: bool
    function: str
    kind: Kind
    in_shape: tuple[int, ...]
    apply: AffineCall | None
    measured: Any
    out_shape: tuple[int, ...] = field(default=())


class _Recorder(TorchFunctionMode):
    """Sees every call of a torch function while it is entered.

    Attributes:
        path: The modules whose forward passes are running, outermost first, as path and
            whether the module has no modules in it.
        entries: The layers so far.
        unlisted: Other functions so far.
    """

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self.path: list[tuple[str, bool]] = []
        self.entries: list[_Entry] = []
        self.unlisted: dict[str, None] = {}
        self._measure = measure
        self._dependent = WeakTensorKeyDictionary()

    def mark(self, value: Any) -> None:
        """Notes that the tensors in a value depend on the network's input."""
        for tensor in _tensors(value):
            self._dependent[tensor] = True

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs a call, after noting it if it is a layer on something that was marked."""
        kwargs = kwargs or {}
        variables = self._variables(args, kwargs)
        name = name_of(func)
        if name in _OPENED:
            with self:
                return _opened(func)(*args, **kwargs)
        entry = self._entry(func, name, variables, args, kwargs) if variables else None
        result = func(*args, **kwargs)
        if variables:
            self.mark(result)
            if _writes(func) and args and isinstance(args[0], Tensor):
                self.mark((args[0], args[0]._base))
        if entry is not None:
            first = next(_tensors(result), None)
            entry.out_shape = tuple(first.shape) if first is not None else ()
            self.entries.append(entry)
        return result

    def _variables(self, args: Any, kwargs: Any) -> list[Tensor]:
        """Lists the tensors that depend on the input, one that is given twice as two.

        The product of a feature with itself is a product of two features.
        """
        return [t for t in _tensors((args, kwargs)) if t in self._dependent]

    def _entry(
        self,
        func: Callable[..., Any],
        name: str,
        variables: list[Tensor],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> _Entry | None:
        own_statistics = name == "batch_norm" and _takes_own_statistics(args, kwargs)
        kind = kind_of(name, variables=len(variables), own_statistics=own_statistics)
        z = variables[0]
        if kind is None or not z.is_floating_point():
            if name not in GLUE and not name.startswith("__"):
                self.unlisted.setdefault(name)
            return None
        path, leaf = self.path[-1] if self.path else ("", False)
        return _Entry(
            path=path,
            leaf=leaf,
            function=name,
            kind=kind,
            in_shape=tuple(z.shape),
            apply=AffineCall(func, args, kwargs, z) if kind.affine else None,
            measured=None if kind.affine else self._measured(name, z, args, kwargs),
        )

    def _measured(self, name: str, z: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Measures a call with what it reads taken out of its arguments."""
        rest = {key: value for key, value in kwargs.items() if value is not z}
        return self._measure(name, z, args[1:] if args and args[0] is z else args, rest)


@contextmanager
def _followed(module: nn.Module, path: list[tuple[str, bool]]) -> Iterator[None]:
    """Keeps ``path`` at the modules that are running; the hooks are taken off again."""

    def entered(place: tuple[str, bool]) -> Callable[..., None]:
        return lambda *_: path.append(place)

    def left(*_: Any) -> None:
        path.pop()

    handles = []
    try:
        for name, inner in module.named_modules():
            place = (name, next(inner.children(), None) is None)
            handles.append(inner.register_forward_pre_hook(entered(place)))
            handles.append(inner.register_forward_hook(left, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of ``torch.nn.functional`` that does not ask modes to run it.

    Such functions hand themselves to the mode that is active, as a whole; only a copy whose
    check always says no can be looked into.
    """
    assert isinstance(function, types.FunctionType)  # _OPENED names such functions only
    checks = [name for name in function.__globals__ if name.startswith("has_torch_function")]
    seen = {**function.__globals__, **dict.fromkeys(checks, lambda *_: False)}
    copy = types.FunctionType(
        function.__code__, seen, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _takes_own_statistics(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether ``F.batch_norm(input, mean, var, weight, bias, training)`` reads the batch."""
    mean = args[1] if len(args) > 1 else kwargs.get("running_mean")
    training = args[5] if len(args) > 5 else kwargs.get("training", False)
    return bool(training) or mean is None


def _writes(function: Callable[..., Any]) -> bool:
    name: str = getattr(function, "__name__", "")
    return name in ("__setitem__", "__iadd__", "__imul__") or (
        name.endswith("_") and not name.startswith("_")
    )


# ---- nests of arguments ----


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yields the tensors in a value, in nested sequences and mappings too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


def _replaced(value: Any, old: Any, new: Any) -> Any:
    """Returns a nest of sequences and mappings with one object exchanged for another."""
    if value is old:
        return new
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    if type(value) is tuple:
        return tuple(_replaced(item, old, new) for item in value)
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    return value


# ---- names ----


def named(calls: Sequence[tuple[str, bool, str]]) -> list[str]:
    """Names calls by the modules that made them.

    A module without inner modules that only ever makes one kind of call lends its path; of any
    other the function follows the path. The second and further calls of one name are numbered:
    ``layer1.0.relu``, ``layer1.0.relu_1``.

    Args:
        calls: Path of the module, whether it has no inner modules, and name of the function.
    """
    functions: dict[str, set[str]] = {}
    for path, _, function in calls:
        functions.setdefault(path, set()).add(function)
    plain = []
    for path, leaf, function in calls:
        alone = path and leaf and len(functions[path]) == 1
        short = _SHORT.get(function, function)
        plain.append(path if alone else f"{path}.{short}" if path else short)
    taken = set(plain)
    used: set[str] = set()
    names = []
    for name in plain:
        number, free = 1, name
        while free in used or (free != name and free in taken):
            free = f"{name}_{number}"
            number += 1
        used.add(free)
        names.append(free)
    return names
