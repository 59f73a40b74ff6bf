"""Looks at a network layer by layer: what each layer leaves harmless.

    found = inspect(model)
    found.segment.dimension             # of the input's own harmless space
    for layer in found.layers:
        layer.name, layer.kind, layer.n, layer.rank, layer.dimension, layer.free

An affine layer has a linear harmless space, at every input (Theorem 1). What a nonlinear layer
does not notice depends on the input it is given (Lemmas 1.1 to 1.5), so one forward pass is run
and each layer is looked at with what reaches it there.
"""

from __future__ import annotations

import difflib
import math
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.inspection.affine import Budget, affine_facts
from fingerprint.inspection.calls import LayerCall, Recording, record
from fingerprint.inspection.facts import Inspection, LayerFacts, SegmentFacts, without_batch
from fingerprint.inspection.nonlinear import freedom
from fingerprint.network.checks import require_finite_weights
from fingerprint.network.inputs import sample_inputs
from fingerprint.network.model import Model
from fingerprint.network.run import to_tensor
from fingerprint.progress import Progress, silent
from fingerprint.solvers.first_layers import linear_space
from fingerprint.text import clean, first_line, listed

__all__ = ["inspect"]

_NOISE = "seeded uniform noise"


def inspect(
    model: Model,
    *,
    input: NDArray[Any] | None = None,
    layer: str | None = None,
    values: int = 3,
    progress: Progress = silent,
) -> Inspection:
    """Inspects every layer that one forward pass uses.

    Layers are the calls of torch's layer functions on whatever depends on the input, whether
    modules or plain lines of code make them; reshapes, sums of two paths and other arithmetic
    are not listed. Costs one forward pass and, for affine layers, what a fixed budget of
    operations allows: layers beyond it say so, with a bound of their harmless dimension.

    Args:
        model: The network.
        input: One input as it is sent, shape ``model.input.shape``: uint8 for pixels, float32
            otherwise. Left out, it is uniform noise of a fixed seed.
        layer: Only this layer, or those inside a module of this name; a larger budget is spent
            on what is named.
        values: How many of the smallest singular values to find for each affine layer.
        progress: Called after each layer.

    Raises:
        UsageError: The input has another shape, ``values`` is negative, or no layer has this
            name; the message lists the nearest.
        NoInformation: The weights hold NaN or infinity.
        IncompatibleModel: The network fails on the input.
    """
    if values < 0:
        raise UsageError(f"values: expected a number of at least 0, got {values}")
    require_finite_weights(model, "ranks of such a network mean nothing")
    recording = _recorded(model, _input(model, input))
    chosen = _chosen(recording.calls, layer)
    budget = Budget() if layer is None else Budget.generous()
    facts = []
    for done, call in enumerate(chosen, start=1):
        facts.append(_facts(call, values, budget))
        progress("inspecting", done, len(chosen))
    return Inspection(
        architecture=model.architecture,
        digest=model.digest,
        input=model.input,
        given=_NOISE if input is None else "given",
        segment=_segment(model),
        layers=tuple(facts),
        unlisted=recording.unlisted,
        warnings=(*model.warnings, *_warnings(recording)),
    )


def _input(model: Model, given: NDArray[Any] | None) -> Tensor:
    """Returns one input, shape ``(1, *model.input.shape)``, in the network's precision."""
    if given is None:
        x = sample_inputs(model.input, 1)
    elif tuple(given.shape) != model.input.shape:
        raise UsageError(
            f"input: expected one of shape {model.input.shape}, got {tuple(given.shape)}"
        )
    else:
        x = to_tensor(given, model.input)[None]
    return x.to(model.device, model.dtype)


def _recorded(model: Model, x: Tensor) -> Recording:
    try:
        return record(model, x, freedom)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise IncompatibleModel(
            f"the network fails on one input of shape {model.input.shape}: {first_line(error)}"
        ) from error


def _chosen(calls: tuple[LayerCall, ...], layer: str | None) -> tuple[LayerCall, ...]:
    """Returns the layer of this name, or those inside the module of this name."""
    if layer is None:
        return calls
    chosen = tuple(c for c in calls if c.name == layer or c.name.startswith(f"{layer}."))
    if not chosen:
        names = [call.name for call in calls]
        near = difflib.get_close_matches(layer, names, n=5, cutoff=0.3) or names[:5]
        raise UsageError(
            f"layer: expected one that the forward pass uses, got '{clean(layer)}'; "
            f"nearest: {listed(near, shown=5)}"
        )
    return chosen


def _facts(call: LayerCall, values: int, budget: Budget) -> LayerFacts:
    if call.apply is not None:
        return affine_facts(call, values, budget)
    found = call.measured
    return LayerFacts(
        name=call.name,
        kind=call.kind.label,
        function=call.function,
        affine=False,
        in_shape=without_batch(call.in_shape),
        out_shape=without_batch(call.out_shape),
        n=math.prod(call.in_shape),
        m=math.prod(call.out_shape),
        dimension=found.dimension,
        at_least=found.dimension,
        free=found.free,
        of=math.prod(call.in_shape),
        note=found.note,
    )


def _segment(model: Model) -> SegmentFacts:
    found = linear_space(model)
    operator = found.segment.operator
    dimension = found.space.dimension if found.space is not None else None
    n = model.input.size
    bound = max(n - operator.m, 0) if operator is not None else 0
    return SegmentFacts(
        layers=found.segment.layers,
        ended_by=found.segment.ended_by,
        n=n,
        m=operator.m if operator is not None else None,
        rank=None if dimension is None else n - dimension,
        dimension=dimension,
        at_least=bound if dimension is None else dimension,
        note=found.note,
    )


def _warnings(recording: Recording) -> tuple[str, ...]:
    found = []
    if not recording.calls:
        found.append("no layer was seen: the network calls no layer function of torch")
    if not bool(torch.isfinite(recording.answer).all()):
        found.append("the network answers NaN or infinity: what is said of it means little")
    return tuple(found)
