"""Finds the affine layers of a network, and which layer's units feed which layer's channels.

    for layer in layers_of(model):
        layer.name, layer.writes, layer.reads

A *space* is a set of units that are the same for everyone who writes or reads them: the channels
of a convolution behind its normalisation and activation, or a residual stream with all that adds
to it. One forward pass on noise is watched. Where a function is met of which it is not known where
the units go (a head of attention, a concatenation), their trace ends: layers behind it are
compared as they stand, which can miss a relation and cannot invent one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from fingerprint.network.inputs import sample_inputs
from fingerprint.network.model import Model
from fingerprint.network.run import full_precision
from fingerprint.operators.affine import GLUE

__all__ = ["Layer", "Reading", "layers_of"]

_WHOLE = 2**28
"""Most weights that products of layers may have together: 1 GiB, whatever a small file asks for."""
_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_TURNS_ALONG = GLUE | {"layer_norm", "rms_norm", "mean", "radd", "iadd", "getitem"}
"""Functions behind which a rotation of the units is still one, by name without underscores."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """How a layer's input channels come from a space.

    Attributes:
        space: Number of the space.
        outer: How many times all units stand one after another (tokens that were flattened).
        inner: How many neighbouring channels are one unit (pixels that were flattened).
        linear: Whether nothing but sums and layer normalisation lies between.
        scale: What a layer normalisation multiplied each unit by; None without one.
    """

    space: int
    outer: int = 1
    inner: int = 1
    linear: bool = True
    scale: Tensor | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """An affine layer as a network uses it.

    Attributes:
        name: Its weight's module.
        kind: ``linear``, ``convolution`` or ``depthwise``.
        weight: Shape ``(units, channels, taps)``, float32 on the CPU; the sign of a batch
            normalisation that follows it is in its rows.
        writes: The space of its units.
        reads: Where its channels come from; None where that is not known.
    """

    name: str
    kind: str
    weight: Tensor
    writes: int
    reads: Reading | None


def layers_of(model: Model) -> tuple[Layer, ...]:
    """Returns a network's affine layers in the order of their calls, each once.

    A layer that nothing but another one reads, with nothing between them, is one with it: whoever
    writes a layer as a product of two has changed nothing.

    Layers whose weights are not parameters (tied by a formula, quantised modules) are not seen;
    grouped convolutions that are not depthwise are left out.

    Raises:
        IncompatibleModel: The network fails.
    """
    watch = _Watch(model.module)
    x = sample_inputs(model.input, 1).to(model.device, model.dtype)
    with torch.no_grad(), full_precision(), watch:
        model(x)
    return _composed(
        replace(
            layer,
            weight=_rows(layer.weight, watch.signs.get(layer.name)),
            writes=watch.root(layer.writes),
            reads=layer.reads and replace(layer.reads, space=watch.root(layer.reads.space)),
        )
        for layer in watch.seen
    )


def _composed(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    found = list(layers)
    writers = Counter(layer.writes for layer in found)
    readers = Counter(layer.reads.space for layer in found if layer.reads is not None)
    whole: dict[int, Layer] = {}
    room = _WHOLE
    for place, layer in enumerate(found):
        reads = layer.reads
        before = whole.get(reads.space) if reads is not None else None
        if (
            before is not None
            and (writers[before.writes], readers[before.writes]) == (1, 1)
            and _is_product(before, layer)
            and len(layer.weight) * before.weight[0].numel() <= room
        ):
            weight = torch.einsum("oi,ict->oct", layer.weight[:, :, 0], before.weight)
            room -= weight.numel()
            del whole[before.writes]
            made = replace(layer, kind=before.kind, weight=weight, reads=before.reads)
        else:
            made = layer
        whole[made.writes if writers[made.writes] == 1 else -1 - place] = made
    return tuple(whole.values())


def _is_product(first: Layer, second: Layer) -> bool:
    """Whether nothing lies between two layers, and they are one matrix after another."""
    reads = second.reads
    return (
        reads is not None
        and reads.linear
        and reads.scale is None
        and reads.outer * reads.inner == second.weight.shape[2] == 1
        and second.weight.shape[1] == len(first.weight)
        and first.kind != "depthwise"
    )


@dataclass(frozen=True, kw_only=True)
class _Tag:
    """Whose units lie along one axis of a tensor.

    Attributes:
        axis: The axis.
        units: How many there are.
        reading: Of which space, and how.
        fresh: Name of the layer that gave the tensor; empty once anything was done to it.
    """

    axis: int
    units: int
    reading: Reading
    fresh: str = ""


class _Watch(TorchFunctionMode):
    """Follows units through every call of a torch function while it is entered.

    Attributes:
        seen: Layers in the order of their calls, their weights and spaces as they were met.
        signs: By layer, the sign of a batch normalisation right behind it.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.seen: list[Layer] = []
        self.signs: dict[str, Tensor] = {}
        self._names = {
            id(value): name.removesuffix(".weight")
            for name, value in module.named_parameters()
            if value.is_floating_point() and value.ndim > 1 and value.numel()
        }
        self._called: set[int] = set()
        self._parents: list[int] = []
        self._tags: Any = WeakTensorKeyDictionary()  # has no types of its own

    def root(self, space: int) -> int:
        """Returns the number that a space has after all sums."""
        while self._parents[space] != space:
            space = self._parents[space]
        return space

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs a call and notes where its units went."""
        kwargs = kwargs or {}
        name = str(getattr(func, "__name__", ""))
        before = self._tags.get(args[0], ()) if args and isinstance(args[0], Tensor) else ()
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.is_floating_point():
            try:
                tags = self._after(name, args, kwargs, before, result)
            except (AttributeError, LookupError, TypeError, ValueError):
                tags = ()  # a call in a form that is not foreseen ends the trace
            if tags:
                self._tags[result] = tags
            else:
                self._tags.pop(result, None)
        return result

    def _after(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        before: tuple[_Tag, ...],
        result: Tensor,
    ) -> tuple[_Tag, ...]:
        if name == "linear" or name in _CONVOLUTIONS:
            weight = args[1] if len(args) > 1 else kwargs.get("weight")
            if isinstance(weight, Tensor) and id(weight) in self._names and args:
                return self._layer(name, args, kwargs, weight, before, result)
            return ()
        if name == "batch_norm":
            self._normalised(args, kwargs, before)
        if not before and len(args) > 1 and isinstance(args[1], Tensor):
            before = self._tags.get(args[1], ())  # 1 + x
        tags = _moved(name, args, kwargs, before, result)
        if name == "layer_norm":
            tags = tuple(_scaled(tag, args, kwargs, result) for tag in tags)
        if name.strip("_") not in _TURNS_ALONG:
            tags = tuple(replace(t, reading=replace(t.reading, linear=False)) for t in tags)
        if len(args) > 1 and isinstance(args[1], Tensor) and args[1] is not args[0]:
            other = _moved(name, args, kwargs, self._tags.get(args[1], ()), result)
            tags = self._joined(tags, other)
        return tags

    def _joined(self, ours: tuple[_Tag, ...], theirs: tuple[_Tag, ...]) -> tuple[_Tag, ...]:
        """Makes one space of two that meet in a sum; keeps what lies on other axes."""
        found = {tag.axis: tag for tag in ours}
        for tag in theirs:
            same = found.get(tag.axis)
            if same is None:
                found[tag.axis] = tag
                continue
            one, two = same.reading, tag.reading
            if (one.outer, one.inner, same.units) == (two.outer, two.inner, tag.units):
                first, second = sorted((self.root(one.space), self.root(two.space)))
                self._parents[second] = first
                linear = one.linear and two.linear
                found[tag.axis] = replace(same, reading=replace(one, linear=linear))
            else:
                del found[tag.axis]
        return tuple(found.values())

    def _layer(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        weight: Tensor,
        before: tuple[_Tag, ...],
        result: Tensor,
    ) -> tuple[_Tag, ...]:
        x = args[0]
        groups = int(kwargs.get("groups", args[6] if len(args) > 6 else 1))
        spatial = 0 if name == "linear" else weight.ndim - 2
        into = x.ndim - 1 - spatial
        tag = next((one for one in before if one.axis == into), None)
        depthwise = groups > 1 and groups == x.shape[into] == len(weight)
        if groups > 1 and not depthwise:
            return ()
        if depthwise and tag is not None:
            space = tag.reading.space
            reading = replace(tag.reading, linear=False)
        else:
            space = len(self._parents)
            self._parents.append(space)
            reading = Reading(space=space)
        label = self._names[id(weight)]
        if id(weight) not in self._called:
            self._called.add(id(weight))
            kind = "depthwise" if depthwise else "convolution" if spatial else "linear"
            reads = None if tag is None or depthwise else tag.reading
            self.seen.append(Layer(name=label, kind=kind, weight=weight, writes=space, reads=reads))
        axis = result.ndim - 1 - spatial
        return (_Tag(axis=axis, units=len(weight), reading=reading, fresh=label),)

    def _normalised(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], before: tuple[_Tag, ...]
    ) -> None:
        """Notes the sign of a batch normalisation right behind a layer."""
        weight = args[3] if len(args) > 3 else kwargs.get("weight")
        for tag in before:
            if tag.fresh and isinstance(weight, Tensor) and len(weight) == tag.units:
                self.signs[tag.fresh] = weight.detach().float().cpu().sign()


def _rows(given: Tensor, sign: Tensor | None) -> Tensor:
    weight = given.detach().float().cpu()
    rows = weight.reshape(len(weight), weight.shape[1], -1)
    # A factor of zero leaves nothing of a unit; its direction may as well stay.
    return rows if sign is None else rows * torch.where(sign < 0, -1.0, 1.0)[:, None, None]


def _moved(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], tags: tuple[_Tag, ...], result: Tensor
) -> tuple[_Tag, ...]:
    """Returns where units lie in what a function gives."""
    if not tags:
        return ()
    given = args[0] if isinstance(args[0], Tensor) else args[1]
    found = []
    for tag in tags:
        axis = _axis_after(name, args, kwargs, tag, given, result)
        if isinstance(axis, _Tag):
            found.append(replace(axis, fresh=""))
        elif axis is not None and result.shape[axis] == _channels(tag):
            found.append(replace(tag, axis=axis, fresh=""))
    return tuple(found)


def _channels(tag: _Tag) -> int:
    return tag.units * tag.reading.outer * tag.reading.inner


def _axis_after(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], tag: _Tag, x: Tensor, result: Tensor
) -> int | _Tag | None:
    if name in ("cat", "concat", "stack", "matmul", "bmm", "scaled_dot_product_attention"):
        return None
    if name in ("transpose", "swapaxes"):
        one, two = (int(axis) % x.ndim for axis in args[1:3])
        return {one: two, two: one}.get(tag.axis, tag.axis)
    if name in ("permute", "movedim"):
        order = args[1:] if isinstance(args[1], int) else args[1]
        places: list[int] = [int(axis) % x.ndim for axis in order]
        return places.index(tag.axis) if name == "permute" and tag.axis in places else None
    if name == "mean":
        given = kwargs.get("dim", args[1] if len(args) > 1 else None)
        axes = [given] if isinstance(given, int) else list(given or range(x.ndim))
        axes = [axis % x.ndim for axis in axes]
        if tag.axis in axes:
            return None
        gone = 0 if result.ndim == x.ndim else sum(axis < tag.axis for axis in axes)
        return tag.axis - gone
    if name in ("flatten", "view", "reshape") and result.shape != x.shape:
        return _flattened(tag, x, result)
    if result.ndim == x.ndim:
        return tag.axis
    return result.ndim - 1 if tag.axis == x.ndim - 1 and result.ndim else None


def _flattened(tag: _Tag, x: Tensor, result: Tensor) -> _Tag | int | None:
    """Follows units where neighbouring axes become one, or axes behind or before are reshaped."""
    before, after = math.prod(x.shape[: tag.axis]), math.prod(x.shape[tag.axis + 1 :])
    left = 1
    for axis, size in enumerate(result.shape):
        right = math.prod(result.shape[axis + 1 :])
        if left == before and right == after and size == x.shape[tag.axis]:
            return axis
        if before % max(left, 1) == 0 and after % max(right, 1) == 0 and left and right:
            outer, inner = before // left, after // right
            if size == outer * x.shape[tag.axis] * inner and outer * inner > 1:
                read = tag.reading
                made = replace(read, outer=read.outer * outer, inner=read.inner * inner)
                return replace(tag, axis=axis, reading=made)
        left *= size
    return None


def _scaled(tag: _Tag, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> _Tag:
    """Notes what a layer normalisation over the units multiplies them by."""
    weight = args[2] if len(args) > 2 else kwargs.get("weight")
    if tag.axis != result.ndim - 1 or not isinstance(weight, Tensor) or weight.ndim != 1:
        return tag
    return replace(tag, reading=replace(tag.reading, scale=weight.detach().float().cpu()))
