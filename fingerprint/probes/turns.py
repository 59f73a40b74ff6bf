"""Controls: the same δ turned or mirrored, on the same base.

A turned δ is like δ in every statistic and harmless for no one who did not solve for it. Networks
that were trained on mirrored pictures take a δ mirrored left to right for much the same, the source
too; so a registration leaves out what its source cannot tell apart.

Some turns exchange the axes of a picture and some keep them, and a network that reacts to patterns
along one axis more than along the other tells the two kinds apart without knowing the source. So
controls of small pictures are of both kinds.

Of large pictures they are mirrored left to right, as they are and moved by half of a side. What is
photographed is as often one way round as the other, and a network reacts to a pattern much as to
its mirror image; to a pattern on its side or upside down it does not. So independent networks of
224 pixels come nearer to a ratio of 1 (``benchmarks.turns``). The source takes δ mirrored a little
for δ, which costs less than that gains. Fingerprints whose source cannot tell the two, and those
made before, have turns of both kinds, each kind a control group of its own: a ratio counts by the
one that makes it larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "are_mirrored",
    "chosen_kinds",
    "control_groups",
    "is_large",
    "kinds_of",
    "turned",
    "turns_of",
]

_LARGE = 3 * 64 * 64
"""Input values above which controls are mirrored, or turns of each kind a group of their own."""
_LEAST_MIRRORED = 3
"""Mirrored turns that make a control group; a single one is below δ by chance half of the time."""

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


def _mirrored(down: int, across: int) -> Turn:
    """A mirror image moved by halves of the sides; what leaves at one edge enters at the other."""

    def turn(d: Delta) -> Delta:
        moved = (down * d.shape[-2] // 2, across * d.shape[-1] // 2)
        return np.roll(np.flip(d, axis=-1), moved, axis=(-2, -1))

    return turn


_MOVED: tuple[Turn, ...] = (_mirrored(0, 1), _mirrored(1, 0), _mirrored(1, 1))
"""Follow on the mirror image that ends the others."""


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
        Seven for square pictures, three for others, and three more where they are large; five for
        everything else.
    """
    if len(shape) != 3:
        return _LINE
    square = _SQUARE if shape[1] == shape[2] else ()
    return (*square, *_PLANE, *(_MOVED if is_large(shape) else ()))


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether inputs are larger than 64 pixels, where other controls serve."""
    return math.prod(shape) > _LARGE


def kinds_of(shape: tuple[int, ...], turns: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Returns turns apart by kind: those that exchange the axes, and those that keep them.

    Args:
        shape: Of one input.
        turns: Places in :func:`turns_of`.

    Returns:
        The kinds that are not empty. Turns of inputs that are no square pictures are one; of large
        pictures those that mirror left to right are one of their own.
    """
    square = len(shape) == 3 and shape[1] == shape[2]
    exchanging = tuple(turn for turn in turns if square and turn < len(_SQUARE))
    mirrored = tuple(turn for turn in turns if _mirrors(shape, turn))
    keeping = tuple(turn for turn in turns if turn not in (*exchanging, *mirrored))
    return tuple(kind for kind in (exchanging, keeping, mirrored) if kind)


def _mirrors(shape: tuple[int, ...], turn: int) -> bool:
    large = len(shape) == 3 and is_large(shape)
    return large and turn >= len(turns_of(shape)) - len(_MOVED) - 1


def are_mirrored(shape: tuple[int, ...], turns: Sequence[int]) -> bool:
    """Whether turns are mirrored controls of large pictures.

    Args:
        shape: Of one input.
        turns: Places in :func:`turns_of`.
    """
    return len(turns) >= _LEAST_MIRRORED and all(_mirrors(shape, turn) for turn in turns)


def chosen_kinds(shape: tuple[int, ...], turns: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Returns the kinds of turn that controls are taken from: mirrored ones alone if there are any.

    Args:
        shape: Of one input.
        turns: Those that the source can tell from δ, as places in :func:`turns_of`.
    """
    kinds = kinds_of(shape, turns)
    mirrored = tuple(kind for kind in kinds if are_mirrored(shape, kind))
    others = tuple(kind for kind in kinds if not any(_mirrors(shape, turn) for turn in kind))
    return mirrored or others or kinds


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
