"""Public inputs from a seed: plain colours and start noise, the same on every machine.

Bytes come from SHAKE-256 over a label, so anyone can derive them again in any language. A start
is named by its distribution and block size: ``binary`` is black and white pixels, ``binary-4``
black and white 4x4 blocks, ``uniform`` uniform noise.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import UsageError
from fingerprint.network.spec import InputSpec

__all__ = [
    "START_KINDS",
    "base_input",
    "parse_start",
    "start_noise",
    "to_input",
    "unit_noise",
]

START_KINDS = ("binary", "binary-2", "binary-4", "uniform", "uniform-2", "uniform-4")


def parse_start(start: str) -> tuple[str, int]:
    """Splits a start name into distribution and block size.

    Raises:
        UsageError: It is not one of ``START_KINDS``.
    """
    if start not in START_KINDS:
        raise UsageError(f"start: expected auto or one of {', '.join(START_KINDS)}, got {start!r}")
    distribution, _, block = start.partition("-")
    return distribution, int(block or 1)


def start_noise(spec: InputSpec, start: str, label: str) -> NDArray[Any]:
    """Draws one input of full-contrast noise.

    Args:
        spec: What the network takes.
        start: One of ``START_KINDS``.
        label: Says which draw, such as ``"<seed>|<domain>|control|0|3"``.

    Returns:
        Array of shape ``spec.shape``; uint8 for pixels, float32 in ``spec.bounds`` otherwise.
    """
    distribution, block = parse_start(start)
    grid = _blocked_shape(spec.shape, block)
    unit = unit_noise(label, math.prod(grid)).reshape(grid)
    if distribution == "binary":
        unit = np.round(unit)
    for axis in _spatial_axes(spec.shape):
        unit = np.repeat(unit, block, axis=axis)
    return to_input(unit[tuple(slice(0, size) for size in spec.shape)], spec)


def base_input(spec: InputSpec, label: str) -> NDArray[Any]:
    """Draws one base: a plain colour, one value for each channel.

    Args:
        spec: What the network takes.
        label: Says which base.

    Returns:
        Array of shape ``spec.shape``; uint8 for pixels, float32 in ``spec.bounds`` otherwise.
    """
    varying = (spec.shape[0],) if len(spec.shape) > 1 else (1,)
    unit = unit_noise(label, varying[0]).reshape(varying + (1,) * (len(spec.shape) - 1))
    return to_input(np.broadcast_to(unit, spec.shape), spec)


def _spatial_axes(shape: tuple[int, ...]) -> range:
    return range(1, len(shape)) if len(shape) > 1 else range(0)


def _blocked_shape(shape: tuple[int, ...], block: int) -> tuple[int, ...]:
    spatial = _spatial_axes(shape)
    return tuple(-(-size // block) if axis in spatial else size for axis, size in enumerate(shape))


def unit_noise(label: str, count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1], multiples of 1/255, from SHAKE-256 of the label."""
    data = hashlib.shake_256(label.encode(errors="surrogatepass")).digest(count)
    return np.frombuffer(data, dtype=np.uint8).astype(np.float64) / 255.0


def to_input(unit: NDArray[np.float64], spec: InputSpec) -> NDArray[Any]:
    """Brings numbers in [0, 1] to an input's bounds: uint8 for pixels, float32 otherwise."""
    if spec.kind == "pixels":
        return np.round(unit * 255.0).astype(np.uint8)
    low, high = spec.bounds
    return np.asarray(low + unit * (high - low), dtype=np.float32)
