"""Harmless for one model and noticed by all others: sampling outside the intersections.

Of a perturbation in ``N(A)``, the part that also lies in ``N(A_j)`` says nothing about model
``j``. The paper samples from ``P₁ - (P₁ ∩ P_j)``; with several other models there may be no
direction outside all intersections at once, so what is asked for here is that the *least*
response over all of them is as large as possible::

    maximise  min_j  ‖A_j δ‖ / ‖δ‖ / (‖A_j‖_F / √n)    over δ in N(A)

without leaving the committed start: the result stays within a given angle of the start's own
part outside the intersections. A response of 1 is what white noise gets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.spaces.matrix_free import row_space_part
from fingerprint.spaces.subspace import Subspace
from fingerprint.spaces.windows import frobenius_norm

__all__ = ["OutsideSample", "outside"]

SHARED = 1e-8
"""Relative response below which another model's null space contains the whole space: copies of
a layer answer with rounding errors, 1e-14; the mildest quantisation with 1e-3."""

_REMOVAL_STEPS = 30
"""Any number removes the intersection exactly; more only balance what remains."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OutsideSample:
    """A perturbation in a harmless space, away from the harmless spaces of other models.

    Attributes:
        status: ``outside``; ``shared`` when every other null space contains this one (same
            first layer), so no harmless perturbation tells them apart; ``partly shared`` when
            some do, and the sample is outside the rest; ``trivial`` when the space is {0};
            ``alone`` when there is no other model.
        delta: Shape ``in_shape``, as long as the start; zero when trivial, the projected start
            when shared or alone.
        responses: Relative response of each other operator, 1 for white noise.
        start_responses: The same for the projected start, to compare.
        cosine: Cosine between ``delta`` and the start as given.
        shared: Which of the others cannot be told apart.
        steps: Steps of ascent that improved the least response.
    """

    status: Literal["outside", "partly shared", "shared", "trivial", "alone"]
    delta: Tensor
    responses: tuple[float, ...]
    start_responses: tuple[float, ...]
    cosine: float
    shared: tuple[int, ...]
    steps: int


def outside(
    space: Subspace,
    others: Sequence[LinearOperator],
    start: Tensor,
    *,
    steps: int = 20,
    closeness: float = 0.9,
) -> OutsideSample:
    """Moves a start into a harmless space and away from those of other models.

    First the component in each intersection is removed, which leaves one candidate for each
    other model, and the mixture of them with the largest least response is taken. Then
    gradient steps raise the least response further, as far as ``closeness`` allows. All of it
    uses products with the operators and projections only.

    Args:
        space: The harmless space of the source.
        others: Linear parts of the other models, same input shape.
        start: Noise to begin with, shape ``in_shape``, not zero.
        steps: Steps of ascent; 0 only removes the intersections.
        closeness: Least cosine between the result and the mixture without intersections.

    Returns:
        The sample, what it achieves, and whether it was possible at all.

    Raises:
        UsageError: Shapes differ, the start is zero or not finite, or ``closeness`` is not
            within [0, 1].
    """
    _check(space, others, start, closeness)
    size = float(start.to(torch.float64).norm())
    projected = space.project(start)
    if space.dimension == 0 or float(projected.norm()) <= 1e-9 * size:
        return OutsideSample(
            status="trivial",
            delta=torch.zeros_like(projected),
            responses=(0.0,) * len(others),
            start_responses=(0.0,) * len(others),
            cosine=0.0,
            shared=(),
            steps=0,
        )
    panel = [_Other(operator, space.rough()) for operator in others]
    shared = tuple(place for place, other in enumerate(panel) if other.is_shared)
    able = [other for other in panel if not other.is_shared]
    begin = projected / projected.norm()
    best, taken = begin, 0
    if able:
        best, taken = _ascend(_removed(begin, able), able, steps, closeness)
        best = space.project(best)
    delta = best * (size / float(best.norm()))
    return OutsideSample(
        status=_status(len(others), len(able)),
        delta=delta,
        responses=tuple(other.response(best) for other in panel),
        start_responses=tuple(other.response(begin) for other in panel),
        cosine=float((delta * start.to(delta.device, delta.dtype)).sum()) / size**2,
        shared=shared,
        steps=taken,
    )


class _Other(LinearOperator):
    """Another model's operator on the space only, scaled so that white noise gets 1.

    Products expect vectors that lie in the space already; transposed products return such.
    """

    def __init__(self, operator: LinearOperator, space: Subspace) -> None:
        super().__init__(
            operator.in_shape, operator.out_shape, dtype=space.dtype, device=space.device
        )
        self.operator = operator
        self.space = space
        norm = frobenius_norm(operator)
        self.scale = math.sqrt(operator.n) / norm if norm > 0.0 else 0.0
        generator = torch.Generator().manual_seed(0)
        noise = space.project(torch.randn(operator.in_shape, generator=generator))
        self.is_shared = self.response(noise) <= SHARED

    def _forward(self, x: Tensor) -> Tensor:
        answer = self.operator.matvec(x.to(self.operator.device, self.operator.dtype))
        return answer.to(device=x.device, dtype=x.dtype) * self.scale

    def _transpose(self, y: Tensor) -> Tensor:
        pulled = self.operator.rmatvec(y.to(self.operator.device, self.operator.dtype))
        return self.space.project(pulled) * self.scale

    def response(self, x: Tensor) -> float:
        """Returns the relative response to one vector of the space."""
        size = float(x.norm())
        return float(self.matvec(x).norm()) / size if size > 0.0 else 0.0


def _removed(begin: Tensor, able: Sequence[_Other]) -> Tensor:
    """Removes the component in each intersection and mixes what is left, a unit vector.

    The part of the start in the row space of ``A_j P`` is its part outside the intersection.
    Conjugate gradients never leave that row space, so stopping early is no error here.
    """
    parts: list[Tensor] = []
    for other in able:
        found = row_space_part(
            other, begin.reshape(1, -1), tolerance=1e-6, max_iterations=_REMOVAL_STEPS
        )
        parts.append(found.row_part.reshape(begin.shape) / found.row_part.norm())
    if len(parts) == 1:
        return parts[0]
    stacked = torch.stack(parts)
    flat = stacked.flatten(1)
    inner = flat @ flat.T
    answers = [other.matvec(stacked).flatten(1) for other in able]
    weights = _best_mixture(inner, [answer @ answer.T for answer in answers])
    mixed: Tensor = torch.tensordot(weights.to(stacked), stacked, dims=1)
    mixed = mixed / mixed.norm()
    return mixed


def _best_mixture(inner: Tensor, grams: Sequence[Tensor], rounds: int = 200) -> Tensor:
    """Finds weights ``w >= 0`` with the largest ``min_j wᵀG_j w / wᵀI w``.

    The problem has one dimension for each model, so plain multiplicative updates do: whoever
    answers least pulls the weights its way.
    """

    def quotients(weights: Tensor) -> Tensor:
        above = torch.stack([weights @ gram @ weights for gram in grams])
        return above / (weights @ inner @ weights)

    weights = torch.full((len(grams),), 1.0 / len(grams)).to(inner)
    best, least = weights, float(quotients(weights).min())
    for number in range(rounds):
        worst = int(quotients(weights).argmin())
        slope = grams[worst] @ weights
        step = 1.0 / math.sqrt(1.0 + number)
        weights = weights * torch.exp(step * slope / slope.abs().max().clamp(min=1e-300))
        weights = weights / weights.sum()
        value = float(quotients(weights).min())
        if value > least:
            best, least = weights, value
    return best


def _ascend(
    begin: Tensor, able: Sequence[_Other], steps: int, closeness: float
) -> tuple[Tensor, int]:
    """Raises the least response by gradient steps on the unit sphere, near the beginning."""
    current, least, taken, stride = begin, _least(begin, able), 0, 0.5
    for _ in range(steps):
        direction = _uphill(current, able)
        while stride > 1e-3:
            moved = _into_cap(current + stride * direction, begin, closeness)
            value = _least(moved, able)
            if value > least:
                break
            stride /= 2
        else:
            break
        current, least, taken = moved, value, taken + 1
        stride = min(2 * stride, 1.0)
    return current, taken


def _least(x: Tensor, able: Sequence[_Other]) -> float:
    return min(other.response(x) for other in able)


def _uphill(x: Tensor, able: Sequence[_Other]) -> Tensor:
    """Returns the unit gradient of a soft minimum of the squared responses."""
    answers = [other.matvec(x) for other in able]
    squares = torch.stack([answer.square().sum() for answer in answers])
    # Sharp enough that models answering a tenth more than the least hardly count.
    weights = torch.softmax(-squares / (0.05 * squares.min().clamp(min=1e-300)), dim=0)
    slope = torch.zeros_like(x)
    for weight, other, answer in zip(weights, able, answers, strict=True):
        if float(weight) > 1e-6:
            slope = slope + weight * other.rmatvec(answer)
    slope = slope - (slope * x).sum() * x
    norm = slope.norm()
    return slope / norm if float(norm) > 0.0 else slope


def _into_cap(x: Tensor, centre: Tensor, closeness: float) -> Tensor:
    """Returns the unit vector nearest to ``x`` with a cosine to ``centre`` of ``closeness``."""
    unit: Tensor = x / x.norm()
    along = float((unit * centre).sum())
    if along >= closeness:
        return unit
    aside = unit - along * centre
    turned: Tensor = closeness * centre + math.sqrt(1.0 - closeness**2) * aside / aside.norm()
    return turned


def _status(others: int, able: int) -> Literal["outside", "partly shared", "shared", "alone"]:
    if others == 0:
        return "alone"
    if able == 0:
        return "shared"
    return "outside" if able == others else "partly shared"


def _check(
    space: Subspace, others: Sequence[LinearOperator], start: Tensor, closeness: float
) -> None:
    shapes = {tuple(start.shape), *(operator.in_shape for operator in others)}
    if shapes != {space.in_shape}:
        raise UsageError(
            f"sampling outside: expected inputs of shape {space.in_shape} everywhere, "
            f"got {sorted(shapes)}"
        )
    if not 0.0 <= closeness <= 1.0:
        raise UsageError(f"closeness: expected a cosine within [0, 1], got {closeness}")
    if not bool(torch.isfinite(start).all()) or not bool(start.any()):
        raise UsageError("sampling outside: expected a finite start that is not zero")
