"""Public bases and starts: structured inputs from the registry's seed, and noise of a model's own.

Bases are dead leaves: overlapping balls of random size and colour, as a photograph's edges and
patches are. Networks answer them much as they answer what they were trained on, where plain colours
and noise of full contrast drive a large network to where it answers everything alike. Over the
axes of a sequence or a vector the balls are intervals.

A little grain lies over them. No photograph has an area of one exact colour, and a large network
takes the faintest noise on one for another picture: any δ then moves its answers as far as they go,
the harmless part that a copy's early layers let through no less than the δ turned.

Every value is derived from SHAKE-256 of a label by additions, products and comparisons alone, so
anyone can derive it again, on any machine. Bases stay ``ROOM`` away from both bounds: a
perturbation no larger fits in, whichever way it is turned.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.spec import InputSpec
from fingerprint.solvers.noise import to_input, unit_noise

__all__ = ["GRAINED", "ROOM", "dead_leaves", "grained_leaves", "room_of", "start_delta"]

ROOM = 48 / 255
"""Largest size of any coordinate of δ, as a share of the range of the inputs."""

GRAINED = "grained leaves"
"""What a fingerprint calls bases with grain."""
_GRAIN = 2 / 255
"""Largest size of the noise on a base, as a share of the range of the inputs. More of it brings
strangers nearer and hides the answers of copies that were fine-tuned hard."""
_LARGEST, _SMALLEST = 0.4, 0.04
"""Radii of balls, as a share of the longest axis."""
_BALLS = 4000
"""Balls at most; what none of them covers by then keeps a colour of its own."""


def grained_leaves(spec: InputSpec, seed: str, count: int) -> NDArray[Any]:
    """Derives bases from the registry's seed and the input domain, with grain.

    See :func:`dead_leaves`, also for the arguments.
    """
    return dead_leaves(spec, seed, count, grain=_GRAIN)


def dead_leaves(spec: InputSpec, seed: str, count: int, *, grain: float = 0.0) -> NDArray[Any]:
    """Derives bases of plain colours, as fingerprints of earlier releases have them.

    Args:
        spec: What the network takes; only its domain matters, not its normalisation.
        seed: Registry seed.
        count: Number of bases.
        grain: Largest size of uniform noise on them, as a share of the range of the inputs.

    Returns:
        Bases of shape ``(count, *spec.shape)``, uint8 for pixels, else float32.
    """
    labels = (f"nullprint|{seed}|{spec.domain}|leaves|{place}" for place in range(count))
    return np.stack([_one(spec, label, grain) for label in labels])


def room_of(spec: InputSpec) -> float:
    """Returns how far a coordinate of ``x + δ`` may lie from its base, in ``spec.bounds``."""
    low, high = spec.bounds
    return ROOM * (high - low)


def start_delta(spec: InputSpec, contrast: float, label: str) -> NDArray[np.float64]:
    """Draws the perturbation that a probe is solved from: uniform noise.

    Args:
        spec: What the network takes.
        contrast: Largest size of a coordinate, as a share of the range of the inputs.
        label: Says which draw.

    Returns:
        Array of shape ``spec.shape`` in the units of ``spec.bounds``.
    """
    low, high = spec.bounds
    unit = 2.0 * unit_noise(label, spec.size) - 1.0
    return unit.reshape(spec.shape) * contrast * (high - low)


def _one(spec: InputSpec, label: str, grain: float) -> NDArray[Any]:
    channels = spec.shape[:1] if len(spec.shape) > 1 else (1,)
    space = spec.shape[1:] if len(spec.shape) > 1 else spec.shape
    numbers = _numbers(label)
    image = np.empty((*channels, *space))
    image[:] = _colour(numbers, channels, len(space))
    free = np.ones(space, dtype=bool)
    for _ in range(_BALLS):
        radius = max(space) * min(_LARGEST, _SMALLEST / max(next(numbers), _SMALLEST))
        centre = [next(numbers) * size for size in space]
        colour = _colour(numbers, channels, len(space))
        _cover(image, free, centre, radius, colour)
        if not free.any():
            break
    room = ROOM + grain
    noise = 2.0 * unit_noise(f"{label}|grain", spec.size).reshape(spec.shape) - 1.0
    return to_input(room + image.reshape(spec.shape) * (1 - 2 * room) + grain * noise, spec)


def _cover(
    image: NDArray[Any], free: NDArray[Any], centre: list[float], radius: float, colour: Any
) -> None:
    """Lays a ball behind those that are there."""
    box = tuple(
        slice(max(0, math.floor(at - radius)), min(size, math.ceil(at + radius) + 1))
        for at, size in zip(centre, free.shape, strict=True)
    )
    axes = np.ogrid[box]
    squares: Any = sum((axis - at) * (axis - at) for axis, at in zip(axes, centre, strict=True))
    ball = free[box] & (squares <= radius * radius)
    image[(slice(None), *box)] = np.where(ball, colour, image[(slice(None), *box)])
    free[box] &= ~ball


def _colour(numbers: Iterator[float], channels: tuple[int, ...], axes: int) -> NDArray[Any]:
    drawn = np.array([next(numbers) for _ in range(channels[0])])
    return drawn.reshape(channels + (1,) * axes)


def _numbers(label: str) -> Iterator[float]:
    """Yields numbers in [0, 1), multiples of 2**-32."""
    part = 0
    while True:
        text = f"{label}|{part}".encode(errors="surrogatepass")
        drawn = np.frombuffer(hashlib.shake_256(text).digest(4096), dtype="<u4")
        yield from (drawn / 2.0**32).tolist()
        part += 1
