"""What two layers together do not notice: ``f(x) = σ(A x)`` (Theorem 2, Lemma 1.6).

    found = two_layer(nn.Linear(64, 20), nn.ReLU(), x)
    found.dimension         # 64 - rank of the rows of A whose values ReLU keeps
    found.sample(generator)

The perturbations of x that σ does not notice are those that A takes into σ's harmless set, so
``P = {δ : A δ ∈ H}``. It contains the null space of A always, and more exactly if H and the
column space of A meet outside 0.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import compose
from fingerprint.operators.entries import Diagonal
from fingerprint.operators.segment import linear_operator
from fingerprint.perturbations.nonlinear.harmless_set import HarmlessSet
from fingerprint.perturbations.nonlinear.layers import harmless_set
from fingerprint.perturbations.nonlinear.linear_set import LinearSet
from fingerprint.perturbations.nonlinear.row_constants import RowConstants
from fingerprint.spaces.null_space import null_space
from fingerprint.spaces.rank import membership_tolerance, relative_cutoff
from fingerprint.spaces.subspace import Subspace
from fingerprint.spaces.windows import frobenius_norm

__all__ = ["PulledBack", "two_layer"]


class PulledBack(HarmlessSet):
    """``{δ : A δ ∈ H}``: what a linear layer and the next one do not notice together.

    For ReLU it is the polyhedron of ``(A δ)_i = 0`` on active rows and ``(A δ)_i ≤ -z_i`` on
    the others; for a linear or softmax layer a subspace. Of max pooling, the piece that keeps
    the entries at the maximum is sampled from and measured; membership is that of the whole.

    ``dimension`` takes for granted that no bound is met exactly at δ = 0, as at almost all
    inputs.

    Attributes:
        operator: The first layer, A.
        behind: The harmless set H of the second, at the features the first one gives.
    """

    def __init__(self, x: Tensor, operator: LinearOperator, behind: HarmlessSet) -> None:
        """Takes one input, of the operator's shape, and the two layers.

        Raises:
            UsageError: The shapes do not fit.
        """
        super().__init__(x)
        if operator.in_shape != self.shape or operator.m != behind.n:
            raise UsageError(
                f"two layers: expected an operator {self.shape} -> {behind.n} entries, "
                f"got {operator!r}"
            )
        self.operator = operator
        self.behind = behind

    @cached_property
    def space(self) -> Subspace:
        """The subspace that the set lies in near 0, and has the dimension of."""
        return null_space(self._watched)

    @property
    def dimension(self) -> int | None:
        """``n`` minus the rank of what may not change; None if too large to decompose.

        None, too, where only a part of the second layer's set is known.
        """
        if isinstance(self.behind, RowConstants) and not self.behind.is_whole:
            return None
        return self.space.dimension

    @property
    def free(self) -> int:
        """How many inputs can move on their own: what may not change never reads them."""
        low, high = LinearSet(self.z, self._watched).piece()
        return int((high > low).sum())

    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds of δ: infinite for inputs the first layer never reads, 0 elsewhere."""
        return LinearSet(self.z, self.operator).piece()

    def preimage(self, features: Tensor) -> Tensor:
        """Finds a perturbation of the input that the first layer turns into one of features.

        Args:
            features: ``δ₁``, of the shape of the first layer's answer.

        Returns:
            The smallest δ with ``A δ = δ₁``, of the shape of x, float64.

        Raises:
            UsageError: There is none, as ``δ₁`` is not in the column space of A; or A is too
                large to decompose.
        """
        m, n = self.operator.shape
        matrix = self.operator.to_dense().to(torch.float64)
        wanted = features.detach().reshape(-1).to(matrix)
        cutoff = relative_cutoff((m, n), torch.float64)
        found: Tensor = torch.linalg.pinv(matrix, rtol=cutoff) @ wanted
        missed = float((matrix @ found - wanted).norm())
        rounding = membership_tolerance(max(m, n), features.dtype, torch.float64)
        if missed > rounding * float(wanted.norm()):
            raise UsageError(
                f"preimage: expected features in the column space of {self.operator!r}, "
                f"got some that miss it by {missed:.3g}"
            )
        return found.reshape(self.shape)

    @cached_property
    def _watched(self) -> LinearOperator:
        """The operator whose null space is :attr:`space`: the part of A that may not change."""
        behind = self.behind
        if isinstance(behind, LinearSet | RowConstants):
            return compose(behind.operator, self.operator)
        low, high = behind.piece()
        held = ((low == 0) & (high == 0)).reshape(self.operator.out_shape)
        return compose(Diagonal(held.to(self.operator.dtype), held.shape), self.operator)

    def _contains(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        if isinstance(self.behind, LinearSet | RowConstants):
            inside = self.space.contains(delta) if slack is None else self._near(delta, slack)
            return inside.to(self.z.device)
        image = self.operator.matvec(delta.to(self.operator.dtype))
        if slack is None:
            # Rounding in A δ is a matter of ‖A‖ ‖δ‖, however little of it is left in the image.
            rounding = membership_tolerance(self.n, delta.dtype, self.operator.dtype)
            size = delta.flatten(1).norm(dim=1) * frobenius_norm(self.operator)
            slack = rounding * size
        wide = slack.reshape(-1, *[1] * self.behind.z.ndim)
        return self.behind._contains(image.reshape(-1, *self.behind.shape), wide)

    def _near(self, delta: Tensor, slack: Tensor) -> Tensor:
        outside = self.space.complement(delta).abs().flatten(1).amax(dim=1)
        near: Tensor = outside <= slack.flatten().to(outside)
        return near

    def _sample(self, count: int, generator: torch.Generator | None, size: float) -> Tensor:
        """Projects noise on what may change, and shrinks it into the bounds of the features."""
        # Of noise that lies mostly outside, one projection leaves too much there.
        once = self.space.project(self.normal(count, generator))
        delta = size * self.space.project(once)
        if isinstance(self.behind, LinearSet | RowConstants):
            return delta.to(self.z)
        low, high = (bound.reshape(1, -1) for bound in self.behind.piece())
        image = self.operator.matvec(delta.to(self.operator.dtype)).reshape(count, -1)
        forth, back = _room(image, low, high), _room(-image, low, high)
        share = torch.rand(count, generator=generator, dtype=torch.float64).to(forth)
        # Along a line through 0 one side may be shut where a feature is exactly at its bound.
        factor = torch.where(forth >= back, forth, -back)
        factor = torch.where(factor.abs() < 1.0, share * factor, factor)
        return (delta * factor.reshape(-1, *[1] * self.z.ndim)).to(self.z)


def two_layer(first: nn.Module, second: nn.Module, x: Tensor) -> PulledBack:
    """Returns what ``second(first(x))`` does not notice (Theorem 2, Lemma 1.6).

    Args:
        first: A linear layer, which may have a bias.
        second: Any layer :func:`~fingerprint.perturbations.nonlinear.layers.harmless_set` takes.
        x: One input without batch dimension, in the precision of the layers.

    Raises:
        UsageError: A layer is of another kind, or does not take such an input.
    """
    operator = linear_operator(first, tuple(x.shape))
    with torch.no_grad():
        features = first(x[None])
    return PulledBack(x, operator, harmless_set(second, features.to(torch.float64)))


def _room(image: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Returns the largest factor up to 1 that keeps ``factor · image`` in its bounds, ``(B,)``.

    Entries held at 0 are left out: what the image has there is rounding.
    """
    bound = torch.where(image > 0, high, -low)
    bounded = (high > low) & (image != 0)
    limit = torch.where(bounded, bound / torch.where(bounded, image.abs(), 1.0), torch.inf)
    return limit.amin(dim=1).clamp(max=1.0)
