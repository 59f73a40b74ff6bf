"""The panel: public inputs from the registry's seed, the same for all models, nobody's probes.

::

    inputs = panel_inputs(model.input, seed)     # (96, *shape), 8-bit for pixels
    answers = run(model, inputs)                 # stored, and compared by resemblance

Bytes come from SHAKE-256 over a label and everything after them is whole numbers, so anyone can
derive the panel again in any language. Input i does not depend on how many there are. Every second
input is the negative of the one before it, which shows how nearly linear a model is.
"""

from __future__ import annotations

import hashlib
import itertools
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.spec import InputSpec
from fingerprint.solvers.noise import start_noise

__all__ = ["KINDS", "NEGATIVE", "PANEL", "panel_input", "panel_inputs", "panel_kinds"]

PANEL = 96
"""How many inputs a new panel has."""
NEGATIVE = "-negative"
"""Ending of the kind of a negative."""
KINDS = ("binary", "blocks", "uniform", "leaves")
"""What ``benchmarks.panel`` compares."""
_MIXTURE = ("binary", "uniform")
"""Fine noise: whatever has shapes, networks that saw the same data arrange alike. Two kinds, for
large networks answer some kind of noise as if it were one picture."""
_GRID = 8
"""Blocks to the shorter side of an input: 4x4 pixels each at 32 pixels."""
_LEAVES = 256
_SMALLEST = 25
"""Radius of the smallest leaf, as a divisor of the shorter side; the largest is half of it."""


@lru_cache(maxsize=4)
def panel_inputs(spec: InputSpec, seed: str, count: int = PANEL) -> NDArray[Any]:
    """Derives the panel of a registry for one kind of input.

    Args:
        spec: What the network takes; only its domain matters, not its normalisation.
        seed: Registry seed.
        count: How many inputs.

    Returns:
        Shape ``(count, *spec.shape)``; uint8 for pixels, float32 in ``spec.bounds`` otherwise.
        Not to be changed: the last few are kept, for each candidate of a registry asks for it.
    """
    dtype = np.uint8 if spec.kind == "pixels" else np.float32
    inputs = np.empty((count, *spec.shape), dtype)
    for place in range(0, count, 2):
        pair = place // 2
        drawn = panel_input(spec, seed, _MIXTURE[pair % len(_MIXTURE)], pair)
        inputs[place] = drawn
        if place + 1 < count:
            inputs[place + 1] = _negative(drawn, spec)
    return inputs


def panel_kinds(count: int) -> tuple[str, ...]:
    """Returns the kind of each input of a panel, in turn: inputs are compared within a kind."""
    pairs = ((kind, kind + NEGATIVE) for kind in itertools.cycle(_MIXTURE))
    return tuple(itertools.islice(itertools.chain.from_iterable(pairs), count))


def panel_input(spec: InputSpec, seed: str, kind: str, place: int) -> NDArray[Any]:
    """Derives one input.

    Args:
        spec: What the network takes.
        seed: Registry seed.
        kind: One of ``KINDS``: black and white pixels, black and white blocks, an eighth of the
            shorter side each, uniform noise, or dead leaves: overlapping balls of random size
            and colour. Where values have no neighbours, blocks are pixels and leaves noise.
        place: Index of the input in the panel.

    Returns:
        Shape ``spec.shape``; uint8 for pixels, float32 in ``spec.bounds`` otherwise.
    """
    label = f"nullprint|{seed}|{spec.domain}|panel|{place}"
    spatial = spec.shape[1:]
    if kind in ("binary", "uniform") or not spatial:
        return start_noise(spec, "binary" if kind in ("binary", "blocks") else "uniform", label)
    if kind == "leaves":
        return _scaled(_leaves(spec.shape, label), spec)
    side = max(1, min(spatial) // _GRID)
    cells = tuple(-(-size // side) for size in spatial)
    coarse = InputSpec(shape=(spec.shape[0], *cells), kind=spec.kind, bounds=spec.bounds)
    drawn = start_noise(coarse, "binary", label)
    for axis in range(1, drawn.ndim):
        drawn = drawn.repeat(side, axis=axis)
    return drawn[tuple(slice(0, size) for size in spec.shape)]


def _negative(drawn: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    if spec.kind == "pixels":
        return 255 - drawn
    low, high = (np.float32(end) for end in spec.bounds)
    turned: NDArray[Any] = np.clip(low + high - drawn, low, high)
    return turned


def _leaves(shape: tuple[int, ...], label: str) -> NDArray[np.uint8]:
    """Dead leaves, bytes of a shape with channels first; the last ball drawn lies on top."""
    channels, spatial = shape[0], shape[1:]
    numbers = 2 * (1 + len(spatial))
    data = hashlib.shake_256(label.encode(errors="surrogatepass")).digest(
        channels + _LEAVES * (numbers + channels)
    )
    image = np.empty(shape, np.uint8)
    image[:] = _column(data[:channels], len(spatial))
    grids = np.ogrid[tuple(slice(0, size) for size in spatial)]
    for begin in range(channels, len(data), numbers + channels):
        drawn = np.frombuffer(data, ">u2", count=1 + len(spatial), offset=begin).astype(int)
        # Radii fall off as 1/r², as those of things in a picture do.
        radius = min(min(spatial) // 2, (min(spatial) << 16) // (_SMALLEST * (int(drawn[0]) + 1)))
        centre = [int(value) * size >> 16 for value, size in zip(drawn[1:], spatial, strict=True)]
        distance = sum((grid - middle) ** 2 for grid, middle in zip(grids, centre, strict=True))
        colour = data[begin + numbers : begin + numbers + channels]
        image[:, distance <= radius**2] = _column(colour, 1)
    return image


def _column(colour: bytes, trailing: int) -> NDArray[np.uint8]:
    return np.frombuffer(colour, np.uint8).reshape(-1, *(1,) * trailing)


def _scaled(values: NDArray[np.uint8], spec: InputSpec) -> NDArray[Any]:
    if spec.kind == "pixels":
        return values
    low, high = spec.bounds
    return np.asarray(low + values / 255.0 * (high - low), dtype=np.float32)
