"""Softmax and normalisation by rows: one number added to a whole row is not noticed (Lemma 1.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.linearized import Linearized
from fingerprint.perturbations.nonlinear.harmless_set import HarmlessSet
from fingerprint.spaces.rank import membership_tolerance

__all__ = ["RowConstants"]

_PART = "a part of the set: several weights of zero in a row hide more"


class RowConstants(HarmlessSet):
    """``{c · 1}`` in every row.

    All of the set of softmax and log-softmax along an axis. All of that of layer and group
    normalisation too: their answer gives away the spread of a row as long as ``eps`` is
    positive. With an ``eps`` of zero, scaling a row about its mean would be harmless besides. One
    weight of zero in a row hides nothing, for centred entries add up to zero and the others give
    it away; each further one hides a dimension. Then this is a part of the set, which ``note``
    says, but ``dimension`` is that of all of it.

    ``free`` is 0 although ``dimension`` counts the rows: no entry can move without the others.
    """

    def __init__(
        self,
        z: Tensor,
        axes: Sequence[int],
        *,
        view: tuple[int, ...] | None = None,
        unseen: int = 0,
    ) -> None:
        """Takes the features and the axes that make a row.

        Args:
            z: The features.
            axes: Axes of a row, counted from the front.
            view: Shape to give z first; its own if omitted.
            unseen: Dimensions that the layer does not notice besides.
        """
        super().__init__(z, note="" if unseen == 0 else _PART)
        self._unseen = unseen
        self.view = tuple(z.shape) if view is None else view
        self.axes = tuple(axes)

    @classmethod
    def softmax(cls, z: Tensor, dim: int) -> RowConstants:
        """Returns the set of softmax, log-softmax or softmin along an axis (Lemma 1.3).

        Raises:
            UsageError: There is no such axis.
        """
        if not -z.ndim <= dim < z.ndim:
            raise UsageError(f"softmax: expected an axis of {tuple(z.shape)}, got {dim}")
        return cls(z, [dim % z.ndim])

    @classmethod
    def layer_norm(
        cls, z: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None
    ) -> RowConstants:
        """Returns the set of layer normalisation over the last axes.

        Raises:
            UsageError: The features do not end in that shape.
        """
        first = z.ndim - len(normalized_shape)
        if not 0 <= first < z.ndim or tuple(z.shape[first:]) != tuple(normalized_shape):
            raise UsageError(
                f"layer norm: expected features that end in {tuple(normalized_shape)}, "
                f"got {tuple(z.shape)}"
            )
        rows = math.prod(z.shape[:first])
        return cls(z, range(first, z.ndim), unseen=rows * _unseen(weight, 1, 1))

    @classmethod
    def group_norm(cls, z: Tensor, groups: int, weight: Tensor | None = None) -> RowConstants:
        """Returns the set of group normalisation of ``(N, C, ...)``.

        Instance normalisation has as many groups as channels.

        Raises:
            UsageError: The channels do not divide into the groups.
        """
        if z.ndim < 2 or groups < 1 or z.shape[1] % groups:
            raise UsageError(
                f"group norm: expected features (N, C, ...) with C a multiple of the groups, "
                f"got {tuple(z.shape)} and {groups}"
            )
        length = math.prod(z.shape[1:]) // groups
        times = length * groups // z.shape[1]
        unseen = z.shape[0] * _unseen(weight, groups, times)
        return cls(z, [2], view=(z.shape[0], groups, length), unseen=unseen)

    @property
    def length(self) -> int:
        """Entries of a row."""
        return math.prod(self.view[axis] for axis in self.axes)

    @property
    def dimension(self) -> int:
        """One for each row, and what weights of zero hide besides."""
        return self.n // self.length + self._unseen if self.n else 0

    @property
    def is_whole(self) -> bool:
        """Whether this is all that the layer does not notice."""
        return self._unseen == 0

    @property
    def free(self) -> int:
        """None by itself, unless a row is a single entry."""
        return self.n if self.length == 1 else 0

    @property
    def operator(self) -> LinearOperator:
        """What a layer sees of its input, each row less its mean: its null space is this."""

        def centred(x: Tensor) -> Tensor:
            rows = x.reshape(self.view)
            return (rows - rows.mean(dim=self.axes, keepdim=True)).reshape(x.shape)

        return Linearized(centred, self.shape, name="row differences", device=self.z.device)

    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds of δ: 0, or infinite where a row is a single entry."""
        high = torch.full_like(self.z, math.inf if self.length == 1 else 0.0)
        return -high, high

    def _contains(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        if slack is None:
            slack = self.slack(delta, membership_tolerance(1, delta.dtype, self.z.dtype))
        rows = delta.reshape(len(delta), *self.view)
        axes = [axis + 1 for axis in self.axes]
        spread = rows.amax(dim=axes, keepdim=True) - rows.amin(dim=axes, keepdim=True)
        room = slack.reshape(-1, *[1] * len(self.view))
        return (spread <= room).flatten(1).all(dim=1)

    def _sample(self, count: int, generator: torch.Generator | None, size: float) -> Tensor:
        kept = [1 if axis in self.axes else side for axis, side in enumerate(self.view)]
        noise = torch.randn(count, *kept, generator=generator, dtype=torch.float64)
        whole = (size * noise).to(self.z).expand(count, *self.view)
        return whole.reshape(count, *self.shape)


def _unseen(weight: Tensor | None, groups: int, times: int) -> int:
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
