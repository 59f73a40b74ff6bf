"""The windows of a convolution: where each tap of each window falls."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fingerprint.operators.convolution import Convolution
from fingerprint.spaces.window_group import WindowGroup, split_by_scale

__all__ = ["convolution_windows"]


def convolution_windows(operator: Convolution) -> tuple[WindowGroup, ...] | None:
    """Lists the windows of a convolution; taps that fall on the padding are left out."""
    place = operator.device
    channels, *sizes = operator.in_shape
    grid = operator.out_shape[1:]
    position = torch.zeros((1,) * (2 * len(sizes)), dtype=torch.int64, device=place)
    inside = torch.ones_like(position, dtype=torch.bool)
    for axis, size in enumerate(sizes):
        starts = torch.arange(grid[axis], device=place) * operator.stride[axis]
        taps = torch.arange(operator.kernel[axis], device=place) * operator.dilation[axis]
        at = starts[:, None] + taps[None, :] - operator.padding[axis][0]
        view = [1] * (2 * len(sizes))
        view[axis], view[len(sizes) + axis] = at.shape
        position = position * size + at.reshape(view)
        inside = inside & ((at >= 0) & (at < size)).reshape(view)
    pixels = math.prod(sizes)
    taps_in = torch.where(inside, position, -1).reshape(math.prod(grid), -1)
    return _channel_groups(operator, taps_in, channels, pixels)


def _channel_groups(
    operator: Convolution, taps: Tensor, channels: int, pixels: int
) -> tuple[WindowGroup, ...] | None:
    per_group = channels // operator.groups
    out_per_group = operator.out_shape[0] // operator.groups
    count = len(taps)
    spots = torch.arange(count, device=taps.device)
    found: list[WindowGroup] = []
    for group in range(operator.groups):
        offsets = (torch.arange(per_group, device=taps.device) + group * per_group) * pixels
        columns = torch.where(taps[:, None, :] < 0, -1, taps[:, None, :] + offsets[None, :, None])
        outputs = torch.arange(out_per_group, device=taps.device) + group * out_per_group
        rows = spots[:, None] + outputs[None, :] * count
        kernel = operator.weight[group * out_per_group : (group + 1) * out_per_group]
        matrix = kernel.reshape(out_per_group, -1).to(torch.float64)
        split = split_by_scale(matrix, columns.reshape(count, -1), rows, None)
        if split is None:
            return None
        found += split
    return tuple(found)
