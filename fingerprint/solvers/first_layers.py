"""What a model's first layers do not notice: its linear harmless space.

found = linear_space(model)
found.space             # N(A), for every input and at every size; None if not known
found.note              # how it was found, or why there is none
"""

from __future__ import annotations

from dataclasses import dataclass

from fingerprint.network.model import Model
from fingerprint.operators.segment import AffineSegment, first_affine_segment
from fingerprint.spaces.null_space import null_space
from fingerprint.spaces.subspace import Subspace, TrivialSubspace

__all__ = ["LinearSpace", "linear_space"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearSpace:
    """The harmless subspace of a model's inputs that its first affine segment leaves.

    Attributes:
        segment: The first affine segment; its operator is A.
        space: The null space N(A), vectors of shape ``model.input.shape``; None where the
            network cannot be traced.
        note: How it was found, or why there is none; one line.
    """

    segment: AffineSegment
    space: Subspace | None
    note: str

    @property
    def is_usable(self) -> bool:
        """Whether harmless perturbations can be drawn: the space is known not to be {0}."""
        if self.space is None or self.segment.operator is None:
            return False
        if self.space.dimension is not None:
            return self.space.dimension > 0
        # A dimension that was not computed is at least n - m.
        return self.segment.operator.n > self.segment.operator.m


def linear_space(model: Model) -> LinearSpace:
    """Computes the null space of a model's first affine segment (Theorem 1).

    Args:
        model: The network; its own normalisation belongs to the segment.

    Returns:
        The space, in float64 whatever the precision of the weights.

    Raises:
        NoInformation: The first layers hold NaN or infinity.
    """
    segment = first_affine_segment(model, model.input.shape, device=model.device)
    if segment.operator is None:
        return LinearSpace(segment=segment, space=None, note=segment.reason)
    if segment.identity:
        note = "the input itself is read by a nonlinear operation"
        trivial = TrivialSubspace(model.input.shape, note=note, device=model.device)
        return LinearSpace(segment=segment, space=trivial, note=note)
    space = null_space(segment.operator)
    layers = " ".join(segment.layers[:6])
    note = f"{layers}; {space.note}" if space.note else layers
    return LinearSpace(segment=segment, space=space, note=note)
