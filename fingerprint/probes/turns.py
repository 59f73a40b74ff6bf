"""Controls: the same δ turned or mirrored, on the same base.

A turned δ is like δ in every statistic and harmless for no one who did not solve for it. Networks
that were trained on mirrored pictures take a δ mirrored left to right for much the same, the source
too; so a registration leaves out what its source cannot tell apart.

Some turns exchange the axes of a picture and some keep them, and a network that reacts to patterns
along one axis more than along the other tells the two kinds apart without knowing the source. So
controls of small pictures are of both kinds.

Networks of large pictures begin by leaving out every other row and column. What a δ does depends on
which of them it lies in; for many networks on the same ones, whoever it was solved for. So controls
of large pictures stay on that grid: they are turned upside down about a row of it, where they were
and moved by half of a side. Independent networks of 224 pixels come nearer to a ratio of 1 than
beside other turns, kin hardly (``benchmarks.turns``). Fingerprints whose source takes such a
control for δ, and those made before, have turns of both kinds, each kind a control group of its
own: a ratio counts by the one that makes it larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "chosen_kinds",
    "control_groups",
    "is_large",
    "is_large_picture",
    "kinds_of",
    "on_the_grid",
    "turned",
    "turns_of",
]

_LARGE = 3 * 64 * 64
"""Input values above which controls stay on the grid, or turns of each kind are a group of their
own."""
_LEAST_ON_GRID = 3
"""Turns on the grid that make a control group; a single one is below δ by chance half of the
time."""

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


def _upside_down(down: int, across: int) -> Turn:
    """Upside down about an even row, and moved by about halves of the sides, by an even number.

    What leaves at one edge enters at the other.
    """

    def turn(d: Delta) -> Delta:
        height, width = d.shape[-2:]
        # Flipping alone takes row 0 to the last one, which is odd where the height is even.
        back = (height + 1) % 2
        moved = (back + 2 * (down * height // 4), 2 * (across * width // 4))
        return np.roll(np.flip(d, axis=-2), moved, axis=(-2, -1))

    return turn


_ON_GRID: tuple[Turn, ...] = tuple(
    _upside_down(down, across) for down in (0, 1) for across in (0, 1)
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
        Seven for square pictures, three for others, and four more where they are large; five for
        everything else.
    """
    if len(shape) != 3:
        return _LINE
    square = _SQUARE if shape[1] == shape[2] else ()
    return (*square, *_PLANE, *(_ON_GRID if is_large(shape) else ()))


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether inputs are larger than 64 pixels, where other controls serve."""
    return math.prod(shape) > _LARGE


def is_large_picture(shape: tuple[int, ...]) -> bool:
    """Whether inputs are pictures of that size, whose controls may stay on the grid."""
    return len(shape) == 3 and is_large(shape)


def kinds_of(shape: tuple[int, ...], turns: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Returns turns apart by kind: those that exchange the axes, and those that keep them.

    Args:
        shape: Of one input.
        turns: Places in :func:`turns_of`.

    Returns:
        The kinds that are not empty. Turns of inputs that are no square pictures are one; of large
        pictures those that stay on the grid are one of their own.
    """
    square = len(shape) == 3 and shape[1] == shape[2]
    exchanging = tuple(turn for turn in turns if square and turn < len(_SQUARE))
    staying = tuple(turn for turn in turns if _stays(shape, turn))
    keeping = tuple(turn for turn in turns if turn not in (*exchanging, *staying))
    return tuple(kind for kind in (exchanging, keeping, staying) if kind)


def _stays(shape: tuple[int, ...], turn: int) -> bool:
    return is_large_picture(shape) and turn >= len(turns_of(shape)) - len(_ON_GRID)


def on_the_grid(shape: tuple[int, ...], turns: Sequence[int]) -> bool:
    """Whether turns are controls of large pictures that stay on the grid.

    Args:
        shape: Of one input.
        turns: Places in :func:`turns_of`.
    """
    return len(turns) >= _LEAST_ON_GRID and all(_stays(shape, turn) for turn in turns)


def chosen_kinds(shape: tuple[int, ...], turns: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Returns the kinds of turn that controls are taken from: on the grid alone if they are enough.

    Args:
        shape: Of one input.
        turns: Those that the source can tell from δ, as places in :func:`turns_of`.
    """
    kinds = kinds_of(shape, turns)
    staying = tuple(kind for kind in kinds if on_the_grid(shape, kind))
    others = tuple(kind for kind in kinds if not any(_stays(shape, turn) for turn in kind))
    return staying or others or kinds


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
