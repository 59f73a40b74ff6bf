"""The harmless spaces of a model, as far as they can be told: dimension, rank, and why not."""

from __future__ import annotations

from dataclasses import dataclass

from fingerprint.models.model import Model
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.segment import AffineSegment, first_affine_segment
from fingerprint.probes.probe import SpaceFacts
from fingerprint.spaces.least_harmful import least_harmful
from fingerprint.spaces.null_space import null_space
from fingerprint.spaces.subspace import Subspace

__all__ = ["HarmlessSpaces", "find_spaces", "linear_operator_of"]

_LEAST_HARMFUL_LIMIT = 4096
"""Inputs up to which the least harmful direction is computed at registration."""


@dataclass(frozen=True, eq=False)
class HarmlessSpaces:
    """What registration needs to know of a model's harmless spaces.

    Attributes:
        facts: One entry for each space.
        space: Null space of the first affine segment; None if it is trivial or not found.
        operator: That segment's linear part; None where there is no space.
        warnings: One line each.
    """

    facts: tuple[SpaceFacts, ...]
    space: Subspace | None
    operator: LinearOperator | None
    warnings: tuple[str, ...] = ()


def linear_operator_of(model: Model) -> LinearOperator | None:
    """Returns the linear part of a model's first affine segment; None if there is none."""
    segment = first_affine_segment(model, model.input.shape, device=model.device)
    return None if segment.identity else segment.operator


def find_spaces(model: Model) -> HarmlessSpaces:
    """Computes the linear harmless space and states the dimension of the whole network's."""
    segment = first_affine_segment(model, model.input.shape, device=model.device)
    space, linear = _linear(model, segment)
    network = _network(model)
    warnings = () if segment.found else (f"linear part not found: {segment.reason}",)
    if space is not None and space.dimension != 0:
        return HarmlessSpaces((linear, network), space, segment.operator, warnings)
    extra = _least_harmful(model, segment) if space is not None and segment.found else ()
    return HarmlessSpaces((linear, network, *extra), None, None, warnings)


def _linear(model: Model, segment: AffineSegment) -> tuple[Subspace | None, SpaceFacts]:
    n = model.input.size
    if segment.operator is None:
        return None, SpaceFacts(
            kind="linear", dimension=None, input_dimension=n, rank=None, note=segment.reason
        )
    if segment.identity:
        note = "the input itself is read by a nonlinear operation"
        return None, SpaceFacts(kind="linear", dimension=0, input_dimension=n, rank=n, note=note)
    space = null_space(segment.operator)
    layers = " ".join(segment.layers[:6])
    note = f"{layers}; {space.note}" if space.note else layers
    facts = SpaceFacts(
        kind="linear", dimension=space.dimension, input_dimension=n, rank=space.rank, note=note
    )
    undetermined = space.dimension is None and segment.operator.m >= n
    return (None if undetermined else space), facts


def _network(model: Model) -> SpaceFacts:
    """With n inputs and m outputs, of which softmax sees m − 1, the solutions are n − m + 1."""
    rank = min(model.output.classes - 1, model.input.size)
    return SpaceFacts(
        kind="network",
        dimension=model.input.size - rank,
        input_dimension=model.input.size,
        rank=rank,
        note="generic dimension at almost every input, for logits up to a common constant",
    )


def _least_harmful(model: Model, segment: AffineSegment) -> tuple[SpaceFacts, ...]:
    """The direction the first layers notice least, where nothing is harmless for them."""
    n = model.input.size
    if segment.operator is None or n > _LEAST_HARMFUL_LIMIT:
        return ()
    found = least_harmful(segment.operator, 1)
    smallest = float(found.singular_values[0])
    note = f"smallest singular value {smallest:.3g}"
    return (SpaceFacts(kind="least_harmful", dimension=1, input_dimension=n, rank=None, note=note),)
