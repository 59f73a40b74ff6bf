"""Controls: the same δ turned or mirrored, on the same base.

A turned δ is like δ in every statistic and harmless for no one who did not solve for it. Networks
that were trained on mirrored pictures take a δ mirrored left to right for much the same, the source
too; so turns that exchange the axes come first, and a registration leaves out what its source
cannot tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["turned", "turns_of"]

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
