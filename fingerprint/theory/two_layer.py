"""What two layers together do not notice: ``f(x) = σ(A x)`` (Theorem 2, Lemma 1.6).

    found = two_layer(nn.Linear(64, 20), nn.ReLU(), x)
    found.dimension         # 64 - rank of the rows of A whose values ReLU keeps
    found.sample(generator)

The perturbations of x that σ does not notice are those that A takes into σ's harmless set, so
``P = {δ : A δ ∈ H}``. It contains the null space of A always, and more exactly if H and the
column space of A meet outside 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from fingerprint.operators.dense import Dense
from fingerprint.operators.segment import linear_operator
from fingerprint.spaces.null_space import null_space
from fingerprint.spaces.rank import membership_tolerance
from fingerprint.spaces.subspace import Subspace
from fingerprint.theory.harmless_set import HarmlessSet
from fingerprint.theory.layers import harmless_set

__all__ = ["PulledBack", "two_layer"]


class PulledBack(HarmlessSet):
    """``{δ : A δ ∈ H}``: what a linear layer and the next one do not notice together.

    For ReLU it is the polyhedron of ``(A δ)_i = 0`` on active rows and ``(A δ)_i ≤ -z_i`` on
    the others; for a linear or softmax layer a subspace. Of max pooling, the piece that keeps
    the entries at the maximum is sampled from and measured; membership is that of the whole.

    ``dimension`` takes for granted that no bound is met exactly at δ = 0, as at almost all
    inputs.

    Attributes:
        matrix: The first layer, A, written out, ``(m, n)`` float64.
        behind: The harmless set H of the second, at the features the first one gives.
    """

    def __init__(self, x: Tensor, matrix: Tensor, behind: HarmlessSet) -> None:
        super().__init__(x)
        self.matrix = matrix
        self.behind = behind

    @cached_property
    def space(self) -> Subspace:
        """The subspace that the set lies in near 0, and has the dimension of."""
        columns = self.matrix.T.reshape(self.n, *self.behind.shape)
        return null_space(Dense(self.behind.seen(columns).reshape(self.n, -1).T, self.shape))

    @property
    def dimension(self) -> int | None:
        """``n`` minus the rank of what may not change.

        None where only a part of the second layer's set is known.
        """
        return self.space.dimension if self.behind.is_whole else None

    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds of δ: infinite for inputs the first layer never reads, 0 elsewhere."""
        unread = (self.matrix == 0).all(dim=0).reshape(self.shape)
        high = torch.where(unread, torch.inf, torch.zeros_like(self.z))
        return -high, high

    def holds(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        """Decides each of ``(B, *shape)`` by where A takes it."""
        if slack is None:
            # Rounding in A δ is a matter of ‖A‖ ‖δ‖, however little of it is left in the image.
            rounding = membership_tolerance(self.n, delta.dtype, self.matrix.dtype)
            slack = rounding * delta.flatten(1).norm(dim=1) * self.matrix.norm()
        wide = slack.reshape(-1, *[1] * self.behind.z.ndim)
        return self.behind.holds(self._image(delta), wide)

    def draw(self, count: int, generator: torch.Generator, size: float) -> Tensor:
        """Projects noise on what may change, and shrinks it into the bounds of the features."""
        # Of noise that lies mostly outside, one projection leaves too much there.
        once = self.space.project(self.normal(count, generator))
        delta = size * self.space.project(once)
        low, high = self.behind.piece()
        image = self._image(delta)
        forth, back = _room(image, low, high), _room(-image, low, high)
        share = torch.rand(count, generator=generator, dtype=torch.float64).to(forth)
        # Along a line through 0 one side may be shut where a feature is exactly at its bound.
        factor = torch.where(forth >= back, forth, -back)
        factor = torch.where(factor.abs() < 1.0, share * factor, factor)
        return (delta * factor.reshape(-1, *[1] * self.z.ndim)).to(self.z)

    def _image(self, delta: Tensor) -> Tensor:
        """Returns ``A δ`` in the shape of the features, ``(B, *behind.shape)``."""
        rows = delta.to(self.matrix).flatten(1) @ self.matrix.T
        return rows.reshape(-1, *self.behind.shape)


def two_layer(
    first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor], x: Tensor
) -> PulledBack:
    """Returns what ``second(first(x))`` does not notice (Theorem 2, Lemma 1.6).

    Args:
        first: An affine layer, small enough for its matrix to be written out.
        second: Any layer :func:`~fingerprint.theory.layers.harmless_set` takes.
        x: One input without batch dimension, in the precision of the layers.

    Raises:
        UsageError: A layer is of another kind, or does not take such an input.
    """
    matrix = linear_operator(first, tuple(x.shape)).to_dense().to(torch.float64)
    with torch.no_grad():
        features = first(x[None])
    return PulledBack(x, matrix, harmless_set(second, features.to(torch.float64)))


def _room(image: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Returns the largest factor up to 1 that keeps ``factor · image`` in its bounds, ``(B,)``.

    Entries held at 0 are left out: what the image has there is rounding.
    """
    bound = torch.where(image > 0, high, -low)
    bounded = (high > low) & (image != 0)
    limit = torch.where(bounded, bound / torch.where(bounded, image.abs(), 1.0), torch.inf)
    return limit.flatten(1).amin(dim=1).clamp(max=1.0)
