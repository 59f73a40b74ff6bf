"""Max pooling: nothing above a window's maximum, and something at it (Lemma 1.5).

    found = harmless_set(nn.MaxPool2d(3, 2, 1), z)
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

from fingerprint.spaces.rank import membership_tolerance
from fingerprint.theory.harmless_set import HarmlessSet

__all__ = ["MaxPooling", "adaptive_max_pooling", "max_pooling"]

_Windows = tuple[Tensor, Tensor]
"""Along one axis: indices ``(windows, width)``, and which of these are entries, not padding."""


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

    def __init__(self, z: Tensor, places: Sequence[_Windows]) -> None:
        """Takes the features and the windows along each of the last axes."""
        super().__init__(z)
        sizes = self.shape[z.ndim - len(places) :]
        index = torch.zeros(1, 1, dtype=torch.int64)
        exists = torch.ones(1, 1, dtype=torch.bool)
        for size, (at, inside) in zip(sizes, places, strict=True):
            index = index[:, None, :, None] * size + at[None, :, None, :]
            exists = exists[:, None, :, None] & inside[None, :, None, :]
            # Windows come first and the entries of a window last: (W, w, K, k) -> (W w, K k).
            index, exists = (part.flatten(2).flatten(0, 1) for part in (index, exists))
        self._index, self._exists = index.to(z.device), exists.to(z.device)
        self._maps = self.z.reshape(-1, math.prod(sizes))
        self.maximum = self._gathered(self._maps).amax(dim=2)
        entries = torch.where(self._exists, self.maximum[..., None], math.inf)
        self.level = self._scattered(entries, math.inf, "amin")
        exact, held = self._held_back()
        self._dimension = self.n - held if exact else None
        if not exact:
            self.note = f"dimension at least {self.n - held}: overlapping windows share ties"

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
        held = self._any_window(_one_of(self._attaining, self._attaining.to(self.z.dtype)))
        low = torch.where(held, 0.0, -math.inf)
        high = torch.where(held, 0.0, self.level - self._maps)
        return low.reshape(self.shape).to(self.z), high.reshape(self.shape)

    def holds(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        """Decides each of ``(B, *shape)``: nothing above its level, something at each maximum."""
        if slack is None:
            slack = self.rounding(delta, membership_tolerance(1, self.z.dtype, self.z.dtype))
        read = self._exists.any(dim=1)
        found = torch.zeros(len(delta), dtype=torch.bool, device=self.z.device)
        for number, (one, room) in enumerate(zip(delta, slack.flatten(), strict=True)):
            value = self._maps + one.reshape(self._maps.shape)
            attained = (self._gathered(value) >= self.maximum[..., None] - room) & self._exists
            found[number] = (value <= self.level + room).all()
            found[number] &= (attained.any(dim=2) | ~read).all()
        return found

    def draw(self, count: int, generator: torch.Generator, size: float) -> Tensor:
        """Raises one entry of each window to its maximum, and lowers the others at random."""
        # An entry can be the maximum only of windows whose maximum is as low as its level.
        able = (self._gathered(self.level) == self.maximum[..., None]) & self._exists
        drawn = size * self.normal(count, generator).reshape(count, *self._maps.shape)
        for noise in drawn:
            scores = torch.rand(able.shape, generator=generator).to(self.z.device)
            raised = self._any_window(_one_of(able, scores))
            lowered = torch.where(raised, 0.0, noise.abs())
            read = torch.isfinite(self.level)
            noise.copy_(torch.where(read, self.level - lowered - self._maps, noise))
        return drawn

    @cached_property
    def _attaining(self) -> Tensor:
        """Which entries of each window are its maximum, shape ``(maps, windows, width)``."""
        return (self._gathered(self._maps) == self.maximum[..., None]) & self._exists

    @cached_property
    def _alone(self) -> Tensor:
        """Which entries are the only maximum of some window, shape ``(maps, area)``."""
        return self._any_window(self._attaining & (self._attaining.sum(dim=2, keepdim=True) == 1))

    def _held_back(self) -> tuple[bool, int]:
        """Counts the entries to hold so that every window keeps its maximum.

        Returns:
            Whether the count is exact, and the count, an upper bound if not.
        """
        served = (self._attaining & self._alone[:, self._index] & self._exists).any(dim=2)
        tied = self._attaining & ~served[..., None]
        left = int(tied.any(dim=2).sum())
        shared = self._scattered(tied.to(self.z.dtype), 0.0, "sum") > 1
        return not bool(shared.any()), int(self._alone.sum()) + left

    def _gathered(self, maps: Tensor) -> Tensor:
        """Lays out the windows: ``(maps, area)`` -> ``(maps, windows, width)``, -∞ for padding."""
        return torch.where(self._exists, maps[:, self._index], -math.inf)

    def _scattered(self, entries: Tensor, start: float, how: str) -> Tensor:
        """Reduces the entries of all windows to ``(maps, area)``."""
        whole = torch.full_like(self._maps, start)
        flat = entries.flatten(1)
        index = self._index.flatten().expand(len(flat), -1)
        return whole.scatter_reduce(1, index, flat, how)

    def _any_window(self, entries: Tensor) -> Tensor:
        """Says which places have a true entry in some window, shape ``(maps, area)``."""
        return self._scattered(entries.to(self.z.dtype), 0.0, "amax") > 0


def _one_of(allowed: Tensor, scores: Tensor) -> Tensor:
    """Picks in each window the allowed entry of highest score, the first of equals."""
    best = torch.where(allowed, scores, -1.0).argmax(dim=2, keepdim=True)
    return torch.zeros_like(allowed).scatter(2, best, True) & allowed


def max_pooling(
    axes: int,
    z: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> MaxPooling:
    """Returns the set of max pooling over the last axes, with the arguments of torch."""
    # An empty stride is how torch says "the kernel".
    stride = kernel_size if stride is None or stride in ((), []) else stride
    settings = [_per_axis(each, axes) for each in (kernel_size, stride, padding, dilation)]
    sizes = z.shape[z.ndim - axes :]
    return MaxPooling(
        z, [_windows(*each, ceil_mode=ceil_mode) for each in zip(sizes, *settings, strict=True)]
    )


def adaptive_max_pooling(
    axes: int, z: Tensor, output_size: int | Sequence[int | None], return_indices: bool = False
) -> MaxPooling:
    """Returns the set of adaptive max pooling over the last axes; a None keeps an axis."""
    sizes = z.shape[z.ndim - axes :]
    wanted = (output_size,) * axes if isinstance(output_size, int) else tuple(output_size)
    return MaxPooling(
        z,
        [_adaptive_windows(size, out or size) for size, out in zip(sizes, wanted, strict=True)],
    )


def _per_axis(setting: int | Sequence[int], axes: int) -> tuple[int, ...]:
    values = (setting,) if isinstance(setting, int) else tuple(setting)
    return values * axes if len(values) == 1 else values


def _windows(
    size: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil_mode: bool
) -> _Windows:
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    windows = (-(-reach // stride) if ceil_mode else reach // stride) + 1
    if ceil_mode and (windows - 1) * stride >= size + padding:
        windows -= 1  # a last window that would start in the padding behind is dropped
    at = stride * torch.arange(windows)[:, None] - padding + dilation * torch.arange(kernel)
    return at.clamp(0, size - 1), (at >= 0) & (at < size)


def _adaptive_windows(size: int, out: int) -> _Windows:
    begin = torch.arange(out) * size // out
    end = -(-(torch.arange(out) + 1) * size // out)
    at = begin[:, None] + torch.arange(int((end - begin).max()))
    return at.clamp(max=size - 1), at < end[:, None]
