"""Which entries along one axis the windows of a pooling layer read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.errors import UsageError

__all__ = ["Places", "adaptive_places", "window_places"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """The windows along one axis.

    Attributes:
        size: Entries of the axis.
        at: Indices, shape ``(windows, width)``; anything within range where nothing exists.
        exists: Which of these are entries and not padding, same shape.
    """

    size: int
    at: Tensor
    exists: Tensor


def window_places(
    size: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil_mode: bool
) -> Places:
    """Returns the windows of a pooling layer with the meanings of ``torch.nn.MaxPool1d``.

    Raises:
        UsageError: The window is larger than the padded axis, or all of it may be padding.
    """
    width = dilation * (kernel - 1) + 1
    if 2 * padding > width or size + 2 * padding < width:
        raise UsageError(
            f"pooling: expected padding of at most half a window that is no larger than the "
            f"padded input, got window {width}, padding {padding}, size {size}"
        )
    reach = size + 2 * padding - width
    windows = (-(-reach // stride) if ceil_mode else reach // stride) + 1
    if ceil_mode and (windows - 1) * stride >= size + padding:
        windows -= 1  # a last window that would start in the padding behind is dropped
    at = stride * torch.arange(windows)[:, None] - padding + dilation * torch.arange(kernel)
    exists = (at >= 0) & (at < size)
    return Places(size=size, at=at.clamp(0, size - 1), exists=exists)


def adaptive_places(size: int, out: int) -> Places:
    """Returns the windows of an adaptive pooling layer, which may differ by one in width."""
    begin = torch.arange(out) * size // out
    end = -(-(torch.arange(out) + 1) * size // out)
    steps = torch.arange(int((end - begin).max()))
    at = begin[:, None] + steps
    return Places(size=size, at=at.clamp(max=size - 1), exists=at < end[:, None])
