"""The harmless spaces of a model, as far as they can be told: dimension, rank, and why not."""

from __future__ import annotations

from dataclasses import dataclass

from fingerprint.network.model import Model
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.segment import AffineSegment, first_affine_segment
from fingerprint.probes.probe import SpaceFacts
from fingerprint.solvers.first_layers import LinearSpace, linear_space
from fingerprint.spaces.least_harmful import least_harmful
from fingerprint.spaces.subspace import Subspace

__all__ = ["HarmlessSpaces", "find_spaces", "linear_operator_of"]

_LEAST_HARMFUL_LIMIT = 4096
"""Inputs up to which the least harmful direction is computed at registration."""


@dataclass(frozen=True, eq=False)
class HarmlessSpaces:
    """What registration needs to know of a model's harmless spaces.

    Attributes:
        facts: One entry for each space.
        space: Null space of the first affine segment; None if it is trivial, not found, or the
            same for every network that begins with a layer normalisation.
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
    found = linear_space(model)
    linear, network = _linear(model, found), _network(model)
    warnings = () if found.segment.found else (f"linear part not found: {found.note}",)
    # What layer normalisation does not read is no fingerprint: others do not read it either.
    if found.is_usable and not found.segment.centred:
        return HarmlessSpaces((linear, network), found.space, found.segment.operator, warnings)
    trivial = found.space is not None and found.space.dimension == 0
    extra = _least_harmful(model, found.segment) if trivial and not found.segment.identity else ()
    return HarmlessSpaces((linear, network, *extra), None, None, warnings)


def _linear(model: Model, found: LinearSpace) -> SpaceFacts:
    return SpaceFacts(
        kind="linear",
        dimension=None if found.space is None else found.space.dimension,
        input_dimension=model.input.size,
        rank=None if found.space is None else found.space.rank,
        note=found.note,
    )


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
