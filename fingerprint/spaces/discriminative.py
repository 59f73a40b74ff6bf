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

_ASCENT_STEPS = 20
_CLOSENESS = 0.9
"""Least cosine between the result and the mixture without intersections."""

_ROUNDS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class OutsideSample:
    """A perturbation in a harmless space, away from the harmless spaces of other models.

    Attributes:
        delta: Shape ``in_shape``, as long as the start; zero when the space is {0}, the projected
            start when no other model can be told apart or there is none.
        shared: Which of the others cannot be told apart: their null spaces contain this one (same
            first layer), so no harmless perturbation tells them apart. The sample is outside the
            rest.
    """

    delta: Tensor
    shared: tuple[int, ...] = ()


def outside(space: Subspace, others: Sequence[LinearOperator], start: Tensor) -> OutsideSample:
    """Moves a start into a harmless space and away from those of other models.

    First the component in each intersection is removed, which leaves one candidate for each
    other model, and the mixture of them with the largest least response is taken. Then
    gradient steps raise the least response further, within a given angle of that. All of it
    uses products with the operators and projections only.

    Args:
        space: The harmless space of the source.
        others: Linear parts of the other models, same input shape.
        start: Noise to begin with, shape ``in_shape``, not zero.

    Returns:
        The sample, and whom it does not tell apart.

    Raises:
        UsageError: Shapes differ, or the start is zero or not finite.
    """
    _check(space, others, start)
    size = float(start.to(torch.float64).norm())
    projected = space.project(start)
    if space.dimension == 0 or float(projected.norm()) <= 1e-9 * size:
        return OutsideSample(delta=torch.zeros_like(projected))
    panel = [_Other(operator, space.rough()) for operator in others]
    shared = tuple(place for place, other in enumerate(panel) if other.is_shared)
    able = [other for other in panel if not other.is_shared]
    best = projected / projected.norm()
    if able:
        best = space.project(_ascended(_removed(best, able), able))
    return OutsideSample(delta=best * (size / float(best.norm())), shared=shared)


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


def _best_mixture(inner: Tensor, grams: Sequence[Tensor]) -> Tensor:
    """Finds weights ``w >= 0`` with the largest ``min_j wᵀG_j w / wᵀI w``.

    The problem has one dimension for each model, so plain multiplicative updates do: whoever
    answers least pulls the weights its way.
    """

    def quotients(weights: Tensor) -> Tensor:
        above = torch.stack([weights @ gram @ weights for gram in grams])
        return above / (weights @ inner @ weights)

    weights = torch.full((len(grams),), 1.0 / len(grams)).to(inner)
    best, least = weights, float(quotients(weights).min())
    for number in range(_ROUNDS):
        worst = int(quotients(weights).argmin())
        slope = grams[worst] @ weights
        step = 1.0 / math.sqrt(1.0 + number)
        weights = weights * torch.exp(step * slope / slope.abs().max().clamp(min=1e-300))
        weights = weights / weights.sum()
        value = float(quotients(weights).min())
        if value > least:
            best, least = weights, value
    return best


def _ascended(begin: Tensor, able: Sequence[_Other]) -> Tensor:
    """Raises the least response by gradient steps on the unit sphere, near the beginning."""
    current, least, stride = begin, _least(begin, able), 0.5
    for _ in range(_ASCENT_STEPS):
        direction = _uphill(current, able)
        while stride > 1e-3:
            moved = _into_cap(current + stride * direction, begin)
            value = _least(moved, able)
            if value > least:
                break
            stride /= 2
        else:
            break
        current, least = moved, value
        stride = min(2 * stride, 1.0)
    return current


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


def _into_cap(x: Tensor, centre: Tensor) -> Tensor:
    """Returns the unit vector nearest to ``x`` with a cosine to ``centre`` of ``_CLOSENESS``."""
    unit: Tensor = x / x.norm()
    along = float((unit * centre).sum())
    if along >= _CLOSENESS:
        return unit
    aside = unit - along * centre
    turned: Tensor = _CLOSENESS * centre + math.sqrt(1.0 - _CLOSENESS**2) * aside / aside.norm()
    return turned


def _check(space: Subspace, others: Sequence[LinearOperator], start: Tensor) -> None:
    shapes = {tuple(start.shape), *(operator.in_shape for operator in others)}
    if shapes != {space.in_shape}:
        raise UsageError(
            f"sampling outside: expected inputs of shape {space.in_shape} everywhere, "
            f"got {sorted(shapes)}"
        )
    if not bool(torch.isfinite(start).all()) or not bool(start.any()):
        raise UsageError("sampling outside: expected a finite start that is not zero")
