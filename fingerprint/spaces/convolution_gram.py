"""The Gram matrix of a convolution, which is banded when its entries are ordered by pixels.

    side, width = band_size(convolution)        # before anything is built
    band = gram_band(convolution)               # (width + 1, side), the lower half

Two windows share inputs only if they are near each other. The smaller of ``AᵀA`` and ``AAᵀ`` is
read off from a few products with ``A``: pixels too far apart to meet are probed at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.convolution import Convolution

__all__ = ["band_size", "gram_band", "probing_flops"]

_SLOWER = 6.0
"""How many times slower torch convolves in float64 than it multiplies matrices."""


def band_size(operator: Convolution) -> tuple[int, int]:
    """Returns side and bandwidth of the smaller Gram matrix of one group of channels."""
    channels, *sizes = _shape(operator)
    width = 0
    for steps, size in zip(_reach(operator), sizes, strict=True):
        width = width * size + min(steps, size - 1)
    return channels * math.prod(sizes), width * channels + channels - 1


def probing_flops(operator: Convolution) -> float:
    """Returns the operations that :func:`gram_band` takes for one group, roughly.

    In units of products of large matrices: convolutions in float64 are several times slower.
    """
    channels, *sizes = _shape(operator)
    probes = channels * math.prod(_spans(operator, sizes))
    taps = math.prod(operator.weight.shape[1:])
    return _SLOWER * 4.0 * probes * taps * operator.m / operator.groups


def gram_band(operator: Convolution) -> NDArray[np.float64]:
    """Returns the lower half of the smaller Gram matrix: ``band[i - j, j] = G[i, j]``.

    Args:
        operator: A convolution of one group, in float64.

    Returns:
        Shape ``(width + 1, side)``, see :func:`band_size`; entry ``pixel · C + channel`` stands
        for a channel at a pixel, of inputs for ``AᵀA`` and of outputs for ``AAᵀ``.

    Raises:
        UsageError: It has several groups.
    """
    if operator.groups != 1:
        raise UsageError(f"Gram matrix: expected one group of channels, got {operator.groups}")
    channels, *sizes = _shape(operator)
    side, width = band_size(operator)
    band = np.zeros((width + 1, side))
    numbers = np.arange(channels)
    pixels = _numbered([np.arange(size) for size in sizes], sizes).reshape(-1)
    rows = pixels * channels + numbers[:, None]  # (C, pixels)
    for probes, source in _probes(operator, channels, sizes):
        answers = _product(operator, probes).reshape(channels, channels, -1).cpu().numpy()
        columns = source * channels + numbers[:, None]
        offsets = rows[None] - columns[:, None]
        # Where an axis is shorter than the reach, a probe is heard (as zero) beyond the band.
        places = (source >= 0) & (offsets >= 0) & (offsets <= width)
        offsets = offsets[places]
        band[offsets, np.broadcast_to(columns[:, None], places.shape)[places]] = answers[places]
    return band


def _probes(
    operator: Convolution, channels: int, sizes: Sequence[int]
) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """Yields probes, one for each channel, and the pixel each pixel hears, or -1."""
    reach, spans = _reach(operator), _spans(operator, sizes)
    eye = torch.eye(channels, dtype=operator.dtype, device=operator.device)
    for offsets in itertools.product(*(range(span) for span in spans)):
        probes = torch.zeros(channels, channels, *sizes, dtype=eye.dtype, device=eye.device)
        every = tuple(slice(o, None, span) for o, span in zip(offsets, spans, strict=True))
        probes[(slice(None), slice(None), *every)] = eye.reshape(
            channels, channels, *[1] * len(sizes)
        )
        heard = []
        for offset, span, steps, size in zip(offsets, spans, reach, sizes, strict=True):
            here = np.arange(size)
            there = here + (offset - here + steps) % span - steps
            heard.append(np.full(size, offset) if span == size else there)
        yield probes, _numbered(heard, sizes).reshape(-1)


def _numbered(places: Sequence[NDArray[np.int64]], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Numbers the pixels of a grid of coordinates; -1 where one is outside."""
    number = np.zeros((1,) * len(sizes), dtype=np.int64)
    inside = np.ones((1,) * len(sizes), dtype=bool)
    for axis, (place, size) in enumerate(zip(places, sizes, strict=True)):
        shaped = place.reshape(*[1] * axis, -1, *[1] * (len(sizes) - axis - 1))
        number = number * size + shaped
        inside = inside & (shaped >= 0) & (shaped < size)
    return np.where(inside, number, -1)


def _product(operator: Convolution, x: Tensor) -> Tensor:
    if operator.m < operator.n:
        return operator.matvec(operator.rmatvec(x))
    return operator.rmatvec(operator.matvec(x))


def _shape(operator: Convolution) -> tuple[int, ...]:
    """Shape of what the smaller Gram matrix acts on, for one group."""
    shape = operator.out_shape if operator.m < operator.n else operator.in_shape
    return (shape[0] // operator.groups, *shape[1:])


def _reach(operator: Convolution) -> list[int]:
    """How far apart, on each axis, two pixels can be that some window or input connects."""
    if operator.m >= operator.n:
        return [extent - 1 for extent in operator.extent]
    pairs = zip(operator.extent, operator.stride, strict=True)
    return [(extent - 1) // stride for extent, stride in pairs]


def _spans(operator: Convolution, sizes: Sequence[int]) -> list[int]:
    """Distance of pixels that are probed at once."""
    return [min(2 * r + 1, size) for r, size in zip(_reach(operator), sizes, strict=True)]
