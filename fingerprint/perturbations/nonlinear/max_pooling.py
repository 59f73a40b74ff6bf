"""Max pooling: nothing above a window's maximum, and something at it (Lemma 1.5).

    found = max_pooling(z, kernel=3, stride=2, padding=1)
    found.free          # entries that are not the only maximum of any window

The paper writes the set patch by patch. Where windows overlap, an entry belongs to several and
must suit them all: it may rise to the lowest of their maxima only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.convolution import per_axis
from fingerprint.perturbations.nonlinear.harmless_set import HarmlessSet
from fingerprint.perturbations.nonlinear.pooling_places import (
    Places,
    adaptive_places,
    window_places,
)
from fingerprint.spaces.rank import membership_tolerance

__all__ = ["MaxPooling", "adaptive_max_pooling", "max_pooling"]


class MaxPooling(HarmlessSet):
    """Harmless perturbations of max pooling over the last axes.

    ``free`` counts the entries that are not the only maximum of any window: each can move while
    all others are held. Entries that tie for a maximum are free one at a time but not all at
    once, and ``dimension`` holds one of them back. It is None, with a lower bound in ``note``,
    where overlapping windows share their ties: which entries to hold is then a hitting-set
    problem.

    Attributes:
        maximum: Of each window, shape ``(maps, windows)``; maps are samples times channels.
        level: The lowest maximum of the windows that read an entry, shape ``(maps, area)``;
            infinite where none does.
    """

    def __init__(self, z: Tensor, places: Sequence[Places]) -> None:
        """Takes the features and the windows along each of the last axes."""
        super().__init__(z)
        index = torch.zeros(1, 1, dtype=torch.int64)
        exists = torch.ones(1, 1, dtype=torch.bool)
        for axis in places:
            index = index[:, None, :, None] * axis.size + axis.at[None, :, None, :]
            exists = exists[:, None, :, None] & axis.exists[None, :, None, :]
            # Windows come first and the entries of a window last: (W, w, K, k) -> (W w, K k).
            index, exists = (part.flatten(2).flatten(0, 1) for part in (index, exists))
        self._area = math.prod(axis.size for axis in places)
        self._index, self._exists = index.to(z.device), exists.to(z.device)
        self._maps = self.z.reshape(-1, self._area)
        self.maximum = self._gathered(self._maps).amax(dim=2)
        entries = torch.where(self._exists, self.maximum[..., None], math.inf)
        self.level = self._scattered(entries, math.inf, "amin")
        dimension, bound = self._held_back()
        self._dimension = self.n - bound if dimension else None
        if not dimension:
            self.note = f"dimension at least {self.n - bound}: overlapping windows share ties"

    @property
    def free(self) -> int:
        """How many coordinates can move on their own."""
        return self.n - int(self._alone.sum())

    @property
    def dimension(self) -> int | None:
        """Local dimension at 0; None where overlapping windows share ties."""
        return self._dimension

    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds of δ that keep, in each window, one entry at the maximum."""
        first = self._attaining.to(torch.int8).argmax(dim=2, keepdim=True)
        chosen = torch.zeros_like(self._attaining).scatter(2, first, True) & self._attaining
        held = self._scattered(chosen.to(self.z.dtype), 0.0, "amax") > 0
        low = torch.where(held, 0.0, -math.inf)
        high = torch.where(held, 0.0, self.level - self._maps)
        return low.reshape(self.shape).to(self.z), high.reshape(self.shape)

    def _contains(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        if slack is None:
            slack = self.slack(delta, membership_tolerance(1, self.z.dtype, self.z.dtype))
        read = self._exists.any(dim=1)
        found = torch.zeros(len(delta), dtype=torch.bool, device=self.z.device)
        for number, (one, room) in enumerate(zip(delta, slack.flatten(), strict=True)):
            value = self._maps + one.reshape(self._maps.shape)
            attained = (self._gathered(value) >= self.maximum[..., None] - room) & self._exists
            found[number] = (value <= self.level + room).all()
            found[number] &= (attained.any(dim=2) | ~read).all()
        return found

    def _sample(self, count: int, generator: torch.Generator | None, size: float) -> Tensor:
        """Raises one entry of each window to its maximum, and lowers the others at random."""
        # An entry can be the maximum only of windows whose maximum is as low as its level.
        able = (self._gathered(self.level) == self.maximum[..., None]) & self._exists
        noise = self.normal(count, generator).reshape(count, *self._maps.shape)
        drawn = torch.empty_like(noise)
        for number in range(count):
            scores = torch.rand(able.shape, generator=generator).to(self.z.device)
            best = torch.where(able, scores, -1.0).argmax(dim=2, keepdim=True)
            chosen = torch.zeros_like(able).scatter(2, best, True) & able
            raised = self._scattered(chosen.to(self.z.dtype), 0.0, "amax") > 0
            lowered = torch.where(raised, 0.0, size * noise[number].abs())
            read = torch.isfinite(self.level)
            drawn[number] = torch.where(
                read, self.level - lowered - self._maps, size * noise[number]
            )
        return drawn

    @cached_property
    def _attaining(self) -> Tensor:
        """Which entries of each window are its maximum, shape ``(maps, windows, width)``."""
        return (self._gathered(self._maps) == self.maximum[..., None]) & self._exists

    @cached_property
    def _alone(self) -> Tensor:
        """Which entries are the only maximum of some window, shape ``(maps, area)``."""
        only = self._attaining & (self._attaining.sum(dim=2, keepdim=True) == 1)
        return self._scattered(only.to(self.z.dtype), 0.0, "amax") > 0

    def _held_back(self) -> tuple[bool, int]:
        """Counts the entries to hold so that every window keeps its maximum.

        Returns:
            Whether the count is exact, and the count, an upper bound if not.
        """
        served = (self._attaining & self._gathered_mask(self._alone)).any(dim=2)
        tied = self._attaining & ~served[..., None]
        left = int(tied.any(dim=2).sum())
        shared = self._scattered(tied.to(self.z.dtype), 0.0, "sum") > 1
        return not bool(shared.any()), int(self._alone.sum()) + left

    def _gathered(self, maps: Tensor) -> Tensor:
        """Lays out the windows: ``(maps, area)`` -> ``(maps, windows, width)``, -∞ for padding."""
        return torch.where(self._exists, maps[:, self._index], -math.inf)

    def _gathered_mask(self, mask: Tensor) -> Tensor:
        return mask[:, self._index] & self._exists

    def _scattered(self, entries: Tensor, start: float, how: str) -> Tensor:
        """Reduces the entries of all windows to ``(maps, area)``; entries of padding count 0."""
        whole = self.z.new_full((len(self._maps), self._area), start)
        flat = entries.flatten(1)
        index = self._index.flatten().expand(len(flat), -1)
        return whole.scatter_reduce(1, index, flat, how)


def max_pooling(
    z: Tensor,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
    axes: int = 2,
) -> MaxPooling:
    """Returns the set of max pooling with the meanings of ``torch.nn.functional.max_pool2d``.

    Args:
        z: Features; the last ``axes`` axes are pooled.
        kernel: Side of a window.
        stride: Distance of windows; the kernel if omitted.
        padding: Entries of -∞ put around, at most half a window.
        dilation: Distance of the entries of a window.
        ceil_mode: Whether a window may hang over the end.
        axes: How many axes are pooled.

    Raises:
        UsageError: A setting is out of range.
    """
    sizes = _pooled(z, axes)
    # An empty stride is how torch says "the kernel".
    apart = kernel if stride is None or (not isinstance(stride, int) and not stride) else stride
    kernels = per_axis("pooling kernel", kernel, axes, least=1)
    strides = per_axis("pooling stride", apart, axes, least=1)
    paddings = per_axis("pooling padding", padding, axes, least=0)
    dilations = per_axis("pooling dilation", dilation, axes, least=1)
    settings = zip(sizes, kernels, strides, paddings, dilations, strict=True)
    return MaxPooling(z, [window_places(*each, ceil_mode=ceil_mode) for each in settings])


def adaptive_max_pooling(
    z: Tensor, out_sizes: int | Sequence[int | None], *, axes: int = 2
) -> MaxPooling:
    """Returns the set of adaptive max pooling over the last axes; a None keeps an axis.

    Raises:
        UsageError: Another number of sizes than axes, or one that is not positive.
    """
    sizes = _pooled(z, axes)
    wanted = (out_sizes,) * axes if isinstance(out_sizes, int) else tuple(out_sizes)
    if len(wanted) != axes or any(out is not None and out < 1 for out in wanted):
        raise UsageError(f"adaptive pooling: expected {axes} positive sizes, got {wanted}")
    kept = [size if out is None else out for size, out in zip(sizes, wanted, strict=True)]
    places = [adaptive_places(size, out) for size, out in zip(sizes, kept, strict=True)]
    return MaxPooling(z, places)


def _pooled(z: Tensor, axes: int) -> tuple[int, ...]:
    if z.ndim < axes or z.numel() == 0:
        raise UsageError(
            f"max pooling: expected features with {axes} axes that are not empty, "
            f"got {tuple(z.shape)}"
        )
    return tuple(z.shape[z.ndim - axes :])
