"""Softmax and normalisation by rows: one number added to a whole row is not noticed (Lemma 1.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fingerprint.spaces.rank import membership_tolerance
from fingerprint.theory.harmless_set import HarmlessSet

__all__ = ["RowConstants", "hidden_by_zeros"]

_PART = "a part of the set: several weights of zero in a row hide more"


class RowConstants(HarmlessSet):
    """``{c · 1}`` in every row.

    All of the set of softmax and log-softmax along an axis. All of that of layer and group
    normalisation too: their answer gives away the spread of a row as long as ``eps`` is
    positive. With an ``eps`` of zero, scaling a row about its mean would be harmless besides. One
    weight of zero in a row hides nothing, for centred entries add up to zero and the others give
    it away; each further one hides a dimension. Then this is a part of the set, which ``note``
    says, but ``dimension`` is that of all of it.

    ``free`` is 0 although ``dimension`` counts the rows: no entry can move without the others,
    unless a row is a single entry.
    """

    def __init__(
        self,
        z: Tensor,
        axes: Sequence[int],
        *,
        view: tuple[int, ...] | None = None,
        hidden: int = 0,
    ) -> None:
        """Takes the features and the axes that make a row.

        Args:
            z: The features.
            axes: Axes of a row, counted from the front.
            view: Shape to give z first; its own if omitted.
            hidden: Dimensions that weights of zero hide besides.
        """
        super().__init__(z, note=_PART if hidden else "")
        self.view = tuple(z.shape) if view is None else view
        self.axes = tuple(axes)
        self._hidden = hidden
        self._length = math.prod(self.view[axis] for axis in self.axes)

    @property
    def dimension(self) -> int:
        """One for each row, and what weights of zero hide besides."""
        return self.n // self._length + self._hidden if self.n else 0

    @property
    def is_whole(self) -> bool:
        """Whether this is all that the layer does not notice."""
        return self._hidden == 0

    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds of δ: 0, or infinite where a row is a single entry."""
        high = torch.full_like(self.z, math.inf if self._length == 1 else 0.0)
        return -high, high

    def seen(self, delta: Tensor) -> Tensor:
        """Returns how far entries are from the mean of their row."""
        rows = delta.reshape(len(delta), *self.view)
        return rows - rows.mean(dim=[axis + 1 for axis in self.axes], keepdim=True)

    def holds(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        """Decides each of ``(B, *shape)`` by the spread of its rows."""
        if slack is None:
            slack = self.rounding(delta, membership_tolerance(1, delta.dtype, self.z.dtype))
        rows, axes = delta.reshape(len(delta), *self.view), [axis + 1 for axis in self.axes]
        spread = rows.amax(dim=axes) - rows.amin(dim=axes)
        return (spread.flatten(1) <= slack.reshape(-1, 1)).all(dim=1)

    def draw(self, count: int, generator: torch.Generator, size: float) -> Tensor:
        """Draws ``(count, *shape)``: a normal number for each row."""
        kept = [1 if axis in self.axes else side for axis, side in enumerate(self.view)]
        noise = torch.randn(count, *kept, generator=generator, dtype=torch.float64)
        return (size * noise).to(self.z).expand(count, *self.view).reshape(count, *self.shape)


def hidden_by_zeros(weight: Tensor | None, groups: int = 1, times: int = 1) -> int:
    """Counts the dimensions that weights of zero hide in one sample, besides the constants.

    Of a row of d entries whose weights are not zero at s places, these s of its centred entries
    are seen, and any s < d of them can be anything: d - s dimensions are not noticed.

    Args:
        weight: Of all entries of a row, or of each channel.
        groups: Rows that share the channels.
        times: Entries of a channel.
    """
    if weight is None:
        return 0
    zeros = (weight.detach() == 0).reshape(groups, -1).sum(dim=1) * times
    return int((zeros - 1).clamp(min=0).sum())
