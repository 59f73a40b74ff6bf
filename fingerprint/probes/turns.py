"""Controls: the same δ turned or mirrored, on the same base.

A turned δ is like δ in every statistic and harmless for no one who did not solve for it. Networks
that were trained on mirrored pictures take a δ mirrored left to right for much the same, the source
too; so a registration leaves out what its source cannot tell apart.

Some turns exchange the axes of a picture and some keep them, and a network that reacts to patterns
along one axis more than along the other tells the two kinds apart without knowing the source. So
controls are of both kinds, and of large pictures, where such a stranger came near, each kind is a
control group of its own: a ratio counts by the one that makes it larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["control_groups", "is_large", "kinds_of", "turned", "turns_of"]

_LARGE = 3 * 64 * 64
"""Input values above which turns of each kind are a group of their own."""

Delta = NDArray[Any]
Turn = Callable[[Delta], Delta]

_SQUARE: tuple[Turn, ...] = (
    lambda d: np.rot90(d, 1, axes=(-2, -1)),
    lambda d: np.rot90(d, -1, axes=(-2, -1)),
    lambda d: np.swapaxes(d, -2, -1),
    lambda d: np.swapaxes(np.flip(d, axis=(-2, -1)), -2, -1),
)
_PLANE: tuple[Turn, ...] = (
    lambda d: np.flip(d, axis=(-2, -1)),
    lambda d: np.flip(d, axis=-2),
    lambda d: np.flip(d, axis=-1),
)


def _shifted(part: int, *, reverse: bool) -> Turn:
    """A cyclic shift by quarters of the last axis, of the reversed δ perhaps."""

    def turn(d: Delta) -> Delta:
        moved = np.roll(d, part * d.shape[-1] // 4, axis=-1)
        return np.flip(moved, axis=-1) if reverse else moved

    return turn


_LINE: tuple[Turn, ...] = (
    _shifted(0, reverse=True),
    _shifted(2, reverse=False),
    _shifted(1, reverse=False),
    _shifted(3, reverse=False),
    _shifted(2, reverse=True),
)


def turns_of(shape: tuple[int, ...]) -> tuple[Turn, ...]:
    """Returns the turns of an input's perturbations, the best controls first.

    Args:
        shape: Of one input; axis 0 is the channel unless it is the only one.

    Returns:
        Seven for square pictures, three for others, five for everything else.
    """
    if len(shape) != 3:
        return _LINE
    return (*_SQUARE, *_PLANE) if shape[1] == shape[2] else _PLANE


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether inputs are larger than 64 pixels, where turns of each kind are a control group."""
    return math.prod(shape) > _LARGE


def kinds_of(shape: tuple[int, ...], turns: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Returns turns apart by kind: those that exchange the axes, and those that keep them.

    Args:
        shape: Of one input.
        turns: Places in :func:`turns_of`.

    Returns:
        One or two kinds that are not empty; turns of inputs that are no square pictures are one.
    """
    square = len(shape) == 3 and shape[1] == shape[2]
    exchanging = tuple(turn for turn in turns if square and turn < len(_SQUARE))
    keeping = tuple(turn for turn in turns if turn not in exchanging)
    return tuple(kind for kind in (exchanging, keeping) if kind)


def control_groups(shape: tuple[int, ...], turns: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Returns where the turns of each control group stand among these turns.

    Up to 64 pixels all are one group: no stranger of the detection benchmark comes near there, and
    two of half the size would lose one in ten of the suspects that are claimed. A single turn is no
    group: by chance a probe is below it half of the time.

    Args:
        shape: Of one input.
        turns: Places in :func:`turns_of`.
    """
    order = list(turns)
    kinds = kinds_of(shape, turns)
    apart = is_large(shape) and min(map(len, kinds), default=0) > 1
    return tuple(tuple(map(order.index, kind)) for kind in (kinds if apart else (order,)))


def turned(bases: NDArray[Any], inputs: NDArray[Any], turns: Sequence[int]) -> NDArray[Any]:
    """Returns bases with their perturbations turned.

    Args:
        bases: Shape ``(N, *shape)``.
        inputs: ``x + δ``, the same shape and type; δ no larger than the room of the bases.
        turns: Which turns, as places in :func:`turns_of`; k of them.

    Returns:
        Shape ``(N, k, *shape)``, of the type of the bases.
    """
    maps = turns_of(bases.shape[1:])
    wide = np.int16 if bases.dtype == np.uint8 else np.float64
    delta = inputs.astype(wide) - bases.astype(wide)
    out = np.empty((len(bases), len(turns), *bases.shape[1:]), bases.dtype)
    for row, (base, one) in enumerate(zip(bases.astype(wide), delta, strict=True)):
        for place, turn in enumerate(turns):
            out[row, place] = base + maps[turn](one)
    return out
