"""Twins: pictures that differ in one thing only that a service takes away before its model looks.

::

    pictures = twin_inputs(spec, seed)      # 8 mosaics, then 8 twins of them of each kind
    twin_kinds(spec)                          # ("faint", "chroma", "colour", "border", "fine")

A mosaic of flat squares and its twin come out of JPEG, of chroma subsampling, of a grey copy or of
a crop as the very same picture, if they differ in nothing but what these throw away; then the model
behind answers both alike, whoever it is. A model that is shown both answers them differently.
Resizing and blurring throw nothing away altogether: they weaken detail, the finer the more.

Squares are JPEG's, 8 by 8 pixels, and lie as far from both bounds as a change is strong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from fingerprint.network.spec import InputSpec
from fingerprint.probes.bases import dead_leaves
from fingerprint.solvers.noise import unit_noise

__all__ = ["PAIRS", "SIDES", "twin_count", "twin_inputs", "twin_kinds"]

Pixels = NDArray[np.uint8]
Change = NDArray[np.int64]

PAIRS = 8
"""Pairs of each kind."""
SIDES = 4
"""Pair i of the kind ``border`` differs along side i modulo this: top, bottom, left, right."""
_SQUARE = 8
_LEAST = 2 * _SQUARE
"""Smallest side of pictures that there are twins of."""
_STRONG = 48
"""Change of a value, of 255, that bases leave room for on both sides."""
_CHROMA = (42, -29, 39)
"""A colour without luma, whose two chroma values are whole numbers but for 0.03: added to one
pixel and taken from the next, it leaves nothing in the mean of four."""
_COLOUR = (46, -18, -28)
"""A colour without luma, be that the weighted mean of the three or the plain one."""
_QUALITY = 0.1
"""Steps of JPEG of quality 95, as a share of the table below; lower qualities have larger ones."""
_STRENGTH, _ROUNDED = 0.33, 0.42
"""Of a step: how strong faint detail is made, and what is certain to be rounded to nothing."""
_COARSE = 40
"""Least entry of the table at whose frequencies faint detail is made."""
_DRAWN = 4096
"""Squares of faint detail that are drawn, to keep a few."""
_STEPS = np.array(
    [
        (16, 11, 10, 16, 24, 40, 51, 61),
        (12, 12, 14, 19, 26, 58, 60, 55),
        (14, 13, 16, 24, 40, 57, 69, 56),
        (14, 17, 22, 29, 51, 87, 80, 62),
        (18, 22, 37, 56, 68, 109, 103, 77),
        (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101),
        (72, 92, 95, 98, 112, 100, 103, 99),
    ]
)
"""Luma steps of JPEG at quality 50 by vertical and horizontal frequency (ITU-T T.81, table K.1)."""


def twin_kinds(spec: InputSpec) -> tuple[str, ...]:
    """Returns what there are twins of, in their order; nothing where inputs are no pictures.

    ``faint`` is detail that JPEG drops, ``chroma`` colour at the size of a pixel, ``colour`` all of
    it, ``border`` the outermost pixels, ``fine`` detail at the size of a pixel.
    """
    shape = spec.shape
    if spec.kind != "pixels" or len(shape) != 3 or min(shape[1:]) < _LEAST:
        return ()
    return {1: ("faint", "border", "fine"), 3: tuple(_CHANGES)}.get(shape[0], ())


def twin_count(spec: InputSpec) -> int:
    """Returns how many pictures :func:`twin_inputs` derives."""
    kinds = twin_kinds(spec)
    return (1 + len(kinds)) * PAIRS if kinds else 0


@lru_cache(maxsize=4)
def twin_inputs(spec: InputSpec, seed: str) -> Pixels:
    """Derives the twins of a registry for one kind of input.

    Args:
        spec: What the network takes; only its domain matters, not its normalisation.
        seed: Registry seed.

    Returns:
        Shape ``((1 + kinds) * PAIRS, *spec.shape)``, the mosaics first, then the twins of each
        kind; of no length where there are none. Not to be changed: the last few are kept.
    """
    kinds = twin_kinds(spec)
    if not kinds:
        return np.empty((0, *spec.shape), np.uint8)
    label = f"{seed}|twins"
    plain = _mosaics(dead_leaves(spec, label, PAIRS))
    twins = [plain]
    for kind in kinds:
        change = _CHANGES[kind](plain.shape, f"nullprint|{label}|{spec.domain}|{kind}")
        twins.append((plain + change).astype(np.uint8))
    return np.concatenate(twins)


def _mosaics(pictures: Pixels) -> Pixels:
    """Makes each square of 8 by 8 pixels one colour, its mean; those at the edge may be cut."""
    out = np.empty_like(pictures)
    height, width = pictures.shape[2:]
    for top in range(0, height, _SQUARE):
        for left in range(0, width, _SQUARE):
            at = np.s_[:, :, top : top + _SQUARE, left : left + _SQUARE]
            out[at] = np.round(pictures[at].mean(axis=(2, 3), keepdims=True))
    return out


def _faint(shape: tuple[int, ...], label: str) -> Change:
    """Detail of high frequencies, the same in all channels, that JPEG rounds to nothing."""
    count, _, height, width = shape
    stock = _stock(label)
    rows, columns = height // _SQUARE, width // _SQUARE
    drawn = unit_noise(f"{label}|squares", count * rows * columns)
    chosen = np.minimum((drawn * len(stock)).astype(int), len(stock) - 1)
    squares = stock[chosen].reshape(count, rows, columns, _SQUARE, _SQUARE)
    # Squares that the edge cuts are left alone: JPEG fills them up with what it likes.
    change = np.zeros(shape, np.int64)
    change[:, :, : rows * _SQUARE, : columns * _SQUARE] = squares.transpose(0, 1, 3, 2, 4).reshape(
        count, 1, rows * _SQUARE, columns * _SQUARE
    )
    return change


def _stock(label: str) -> Change:
    """Draws squares of whole numbers that round to zero at each frequency, shape ``(S, 8, 8)``."""
    steps = np.maximum(1, np.round(_QUALITY * _STEPS))
    # Turned half round these are their own negatives, so that rounding keeps a mean of zero.
    odd = np.add.outer(np.arange(_SQUARE), np.arange(_SQUARE)) % 2 == 1
    strength = np.where(odd & (_STEPS >= _COARSE), _STRENGTH * steps, 0.0)
    signs = _signs((_DRAWN, _SQUARE, _SQUARE), label)
    squares = np.round(idctn(signs * strength, axes=(1, 2), norm="ortho"))
    # Rounding to whole numbers leaves something at every frequency; most draws leave too much.
    left = np.abs(dctn(squares, axes=(1, 2), norm="ortho")) / steps
    kept: Change = squares[left.max(axis=(1, 2)) < _ROUNDED].astype(np.int64)
    return kept


def _chroma(shape: tuple[int, ...], label: str) -> Change:
    """A colour that neighbours have to and fro, without any luma."""
    del label
    change: Change = _checks(shape) * np.array(_CHROMA)[:, None, None]
    return change


def _colour(shape: tuple[int, ...], label: str) -> Change:
    """A colour or its opposite on each square, without any luma."""
    count, _, height, width = shape
    grid = _signs((count, 1, -(-height // _SQUARE), -(-width // _SQUARE)), label)
    signs = grid.astype(np.int64).repeat(_SQUARE, axis=2).repeat(_SQUARE, axis=3)
    change: Change = signs[:, :, :height, :width] * np.array(_COLOUR)[:, None, None]
    return change


def _border(shape: tuple[int, ...], label: str) -> Change:
    """Black and white noise on the outermost pixels of one side."""
    change = np.zeros(shape, np.int64)
    noise = _STRONG * _signs((shape[0], 1, max(shape[2:])), label).astype(np.int64)
    for pair, values in enumerate(noise):
        side = pair % SIDES
        if side < 2:
            change[pair, :, -side] = values[:, : shape[3]]
        else:
            change[pair, :, :, 2 - side] = values[:, : shape[2]]
    return change


def _fine(shape: tuple[int, ...], label: str) -> Change:
    """Neighbours to and fro: nothing is finer, nothing weakened more by a change of size."""
    del label
    return np.broadcast_to(_STRONG * _checks(shape), shape)


_CHANGES: Mapping[str, Callable[[tuple[int, ...], str], Change]] = {
    "faint": _faint,
    "chroma": _chroma,
    "colour": _colour,
    "border": _border,
    "fine": _fine,
}


def _signs(shape: tuple[int, ...], label: str) -> NDArray[np.float64]:
    """Draws -1 or 1."""
    drawn = unit_noise(label, int(np.prod(shape))).reshape(shape)
    return np.where(drawn < 0.5, -1.0, 1.0)


def _checks(shape: tuple[int, ...]) -> Change:
    """Signs in which every two neighbours differ, shape ``(N, 1, H, W)``; pairs take turns."""
    pair, _, row, column = np.ogrid[: shape[0], :1, : shape[2], : shape[3]]
    return 1 - 2 * ((pair + row + column) % 2)
