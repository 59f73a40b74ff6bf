"""Do two networks share weights? Units are paired by what they read and tested by what gives them.

Every space of hidden units (channels between two layers) is paired by an assignment on INCOMING
weights: cosines of rows whose channels are already paired, with the scale of units and channels
balanced away. The test looks at OUTGOING weights, in a layer that took no part in the pairing. Some
of the pairs find out which of the layer's own units correspond; for the others it is then asked
whether a unit's outgoing weights are more like those of its partner than like those of any other
unit. Under a pairing that has nothing to do with outgoing weights, one unit in a layer agrees on
average, however wide it is. Layers whose units nobody reads are left out: theirs are classes,
which mean the same to everyone.

Strangers agree a little more often than that: trained on the same pictures, they have the same
edge detectors, which serve the same ends. So the p-value of a layer is the binomial chance that as
many agree if each does with probability :data:`STRANGERS`, set above what independent networks of
one architecture and data reach (docs/weights.md). *Assumption*: units of strangers agree
independently of each other, at no higher rate. Layers are corrected for by Bonferroni, which holds
however they depend on each other.

Two kinds of layers break the assumption and are not tested. In some networks what a unit gives
follows from what it reads (one matrix used there and back again): pairing what units read pairs
what they give, in strangers too. And in some the pattern of zeros alone names the unit (identities,
masks, one-hot codes, filters made by hand), which says who chose the pattern and not who trained;
units that were paired by such a pattern are as public as classes are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom
from torch import Tensor

from fingerprint.network.model import Model
from fingerprint.weights.matching import (
    Units,
    assigned,
    balanced,
    likeness,
    turned,
    unit_rows,
)
from fingerprint.weights.pairing import paired
from fingerprint.weights.wiring import Layer, Reading, layers_of

__all__ = ["CELLS", "STRANGERS", "Compared", "Comparison", "compare", "compare_layers"]

STRANGERS = 0.5
"""How often a unit of a stranger is allowed to agree."""
CELLS = 2**22
"""Most entries of a matrix of likenesses; wider layers are compared by some of their units."""
_LENGTH = 2**12
"""Most weights of a unit that are looked at."""
_TELLING = 64
"""Weights by which a layer's own units are told apart before its channels are tested."""
_LEAST = 4
"""Fewest weights of a unit, and units of a layer, that a test can rest on."""
_PLAIN = 0.05
"""Layers with a p-value above it are evidence of nothing, trivial or not."""
_ECHO = 0.9
"""Correlation, within one network, of how alike units read and give, above which one follows from
the other; what training leaves of it is well below."""
_ECHOED = 128
"""Most units for which that is computed."""
_SPARSE = 0.1
_MASKED = 0.25
"""A layer of which both have at least that share of zeros is left out if, by where their zeros
stand, more than that share of units agree."""
_SEED = 11


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What was found at one pair of layers.

    Attributes:
        ours: Name of our layer.
        theirs: Name of theirs.
        units: How many of its channels' units were tested.
        agree: How many of them agree.
        p_value: Of this layer alone; None where nothing could be tested.
        cosine: Median cosine of the rows that were paired.
        moved: Share of the layer's units whose partner stands at another place.
    """

    ours: str
    theirs: str
    units: int = 0
    agree: int = 0
    p_value: float | None = None
    cosine: float | None = None
    moved: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How alike the weights of two networks are.

    Attributes:
        layers: The pairs of layers, in our order.
        ours: How many affine layers we have.
        theirs: How many they have.
        rotated: Whether units of a residual stream were turned back first.
        p_value: Corrected over layers; None where nothing could be tested.
        least_p: The least p-value that so many units could have given.
        units: How many units were tested.
        agree: How many of them agree.
    """

    layers: tuple[Compared, ...]
    ours: int
    theirs: int
    rotated: bool = False
    p_value: float | None = None
    least_p: float | None = None
    units: int = 0
    agree: int = 0

    @property
    def share(self) -> float | None:
        """Share of the tested units that agree."""
        return self.agree / self.units if self.units else None

    @property
    def tested(self) -> int:
        """How many layers were tested."""
        return sum(layer.units > 0 for layer in self.layers)

    @property
    def carried(self) -> int:
        """In how many of these most units agree."""
        return sum(2 * layer.agree > layer.units for layer in self.layers)


def compare(ours: Model, theirs: Model) -> Comparison:
    """Compares the weights of two loaded networks, of any two architectures.

    Args:
        ours: One network.
        theirs: The other.

    Raises:
        IncompatibleModel: One of them does not run.
    """
    return compare_layers(layers_of(ours), layers_of(theirs))


def compare_layers(ours: Sequence[Layer], theirs: Sequence[Layer]) -> Comparison:
    """Compares layers that were read already; see :func:`compare`."""
    pairs = paired(ours, theirs)
    plain = _summed(_Pass(pairs).run(), ours, theirs)
    turnable = _turnable(ours) & _turnable_in(pairs, _turnable(theirs))
    if not turnable or (plain.p_value is not None and plain.p_value < 1e-9):
        return plain
    turned_back = _summed(_Pass(pairs, turnable).run(), ours, theirs)
    best = min((plain, turned_back), key=lambda one: 1.0 if one.p_value is None else one.p_value)
    p, least = (
        None if value is None else min(1.0, 2 * value) for value in (best.p_value, best.least_p)
    )
    return replace(best, p_value=p, least_p=least, rotated=best is turned_back)


def _turnable(layers: Sequence[Layer]) -> set[int]:
    """Returns the spaces in which only sums and normalisations lie between layers."""
    readings = [layer.reads for layer in layers if layer.reads is not None]
    linear = {reading.space for reading in readings}
    return linear - {reading.space for reading in readings if not reading.linear}


def _turnable_in(pairs: Sequence[tuple[Layer, Layer]], theirs: set[int]) -> set[int]:
    return {one.writes for one, other in pairs if other.writes in theirs}


def _summed(
    found: Sequence[Compared], ours: Sequence[Layer], theirs: Sequence[Layer]
) -> Comparison:
    tested = [one.p_value for one in found if one.p_value is not None]
    most = max((one.units for one in found), default=0)
    return Comparison(
        layers=tuple(found),
        ours=len(ours),
        theirs=len(theirs),
        p_value=min(1.0, len(tested) * min(tested)) if tested else None,
        least_p=min(1.0, len(tested) * STRANGERS**most) if tested else None,
        units=sum(one.units for one in found),
        agree=sum(one.agree for one in found),
    )


@dataclass
class _Space:
    """What is known of one space so far: likeness of its units, or their rotation.

    ``named`` are units that zeros alone tell apart: they mean the same to strangers.
    """

    gain: NDArray[np.float32]
    units: Units
    kept: NDArray[np.int64]
    product: NDArray[np.float64] | None = None
    named: bool = False


class _Pass:
    """One walk through the paired layers, in the order of their calls.

    Args:
        pairs: The layers.
        turnable: Our spaces whose rotation is undone.
    """

    def __init__(
        self, pairs: Sequence[tuple[Layer, Layer]], turnable: set[int] | None = None
    ) -> None:
        self._pairs = pairs
        self._turnable = turnable or set()
        self._read = {one.reads.space for one, _ in pairs if one.reads is not None}
        self._spaces: dict[tuple[int, int], _Space] = {}
        self._writers: dict[tuple[int, int], list[tuple[Layer, Layer]]] = {}

    def run(self) -> list[Compared]:
        """Compares every pair."""
        return [self._compared(one, other) for one, other in self._pairs]

    def _compared(self, one: Layer, other: Layer) -> Compared:
        found = Compared(ours=one.name, theirs=other.name)
        if one.writes not in self._read:
            return found
        with np.errstate(all="ignore"):
            given = self._aligned(one, other)
            if given is None:
                return found
            ours, theirs, chosen = given
            if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
                return found
            turn = one.writes in self._turnable
            units, agree = 0, 0
            if chosen is not None and not (turn and len(ours) != len(theirs)):
                units, agree = _agreement(ours, theirs, turn=turn)
            if units >= _LEAST:
                p = float(binom.sf(agree - 1, units, STRANGERS))
                if p > _PLAIN or not self._trivial(one, other, *given):
                    found = replace(found, units=units, agree=agree, p_value=p)
            cosine, moved = self._noted(one, other, ours, theirs)
            return replace(found, cosine=cosine, moved=moved)

    def _aligned(
        self, one: Layer, other: Layer
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Units | None] | None:
        """Returns both weights with channels paired, and which units those are, if any."""
        ours, theirs = one.weight, other.weight
        reading, reads = one.reads, other.reads
        space = None
        if reading is not None and reads is not None:
            space = self._spaces.get((reading.space, reads.space))
        if space is None or reading is None or reads is None:
            if ours.shape[1:] != theirs.shape[1:]:
                return None
            some = _some(ours.shape[1], ours.shape[2])
            return balanced(_tamed(ours[:, some])), balanced(_tamed(theirs[:, some])), None
        if space.product is not None:
            every = np.arange(len(space.product))
            left, right = _by_unit(ours, reading, every), _by_unit(theirs, reads, every)
            if left is None or right is None or left.shape[2] != right.shape[2]:
                return None
            rotation = turned(space.product)
            return np.einsum("mit,ji->mjt", left, rotation, optimize=True), right, None
        some = _some(len(space.units[0]), reading.outer * reading.inner * ours.shape[2])
        left = _by_unit(ours, reading, space.units[0][some])
        right = _by_unit(theirs, reads, space.units[1][some])
        if left is None or right is None or left.shape[2] != right.shape[2]:
            return None
        chosen = (space.units[0][some], space.units[1][some])
        return balanced(left), balanced(right), chosen

    def _trivial(
        self,
        one: Layer,
        other: Layer,
        ours: NDArray[np.float32],
        theirs: NDArray[np.float32],
        chosen: Units | None,
    ) -> bool:
        """Whether strangers would agree too: by their zeros, or since units give what they read."""
        if chosen is None or one.reads is None or other.reads is None:
            return False
        key = (one.reads.space, other.reads.space)
        masks = _masks(ours, theirs)
        units, agree = _agreement(*masks, turn=False) if masks else (0, 0)
        if self._spaces[key].named or agree > _MASKED * units:
            return True
        gives = [_alike(weight[:, :_ECHOED].transpose(1, 0, 2)) for weight in (ours, theirs)]
        for writers in self._writers[key]:
            echoes = (
                _echo(writer, given, units[:_ECHOED])
                for writer, given, units in zip(writers, gives, chosen, strict=True)
            )
            if min(echoes) > _ECHO:
                return True
        return False

    def _noted(
        self, one: Layer, other: Layer, ours: NDArray[np.float32], theirs: NDArray[np.float32]
    ) -> tuple[float | None, float | None]:
        """Adds a layer's rows to what is known of the units it writes; pairs those anew.

        Returns:
            Median cosine of the paired rows, and the share that stands at another place.
        """
        rows, others = ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1)
        if min(rows.shape) < 1 or min(others.shape) < 1:
            return None, None
        key = (one.writes, other.writes)
        self._writers.setdefault(key, []).append((one, other))
        space = self._spaces.get(key)
        kept = space.kept if space is not None else _kept(len(rows), len(others))
        gain = likeness(rows[kept], others)
        strength = np.float32(np.sqrt(rows.shape[1]))
        if space is None or space.gain.shape != gain.shape:
            total = strength * gain
        else:
            total = space.gain + strength * gain
        units, partners = assigned(total)
        product = None
        if one.writes in self._turnable and len(rows) == len(others):
            product = _of_norm_one(others).astype(np.float64) @ _of_norm_one(rows).T
            if space is not None and space.product is not None:
                product += space.product
        masks = _masks(rows[kept[units]], others[partners])
        tested, agree = _agreeing(*map(unit_rows, masks)) if masks else (0, 0)
        named = agree > _MASKED * tested or (space is not None and space.named)
        self._spaces[key] = _Space(total, (kept[units], partners), kept, product, named)
        moved = float(np.mean(kept[units] != partners))
        return float(np.median(gain[units, partners])), moved


def _masks(
    ours: NDArray[np.float32], theirs: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Returns where weights are not zero, if there are many zeros in both."""
    one, other = ours != 0, theirs != 0
    if max(one.mean(), other.mean()) > 1 - _SPARSE:
        return None
    return one.astype(np.float32), other.astype(np.float32)


def _echo(writer: Layer, given: NDArray[np.float32], units: NDArray[np.int64]) -> float:
    """Correlates how alike units read, at a layer that writes them, with how alike they give.

    Args:
        writer: The layer.
        given: How alike they give, of :func:`_alike`.
        units: Which of its units those are.
    """
    if len(writer.weight) <= int(units.max()):
        return 0.0
    return float(_alike(_tamed(writer.weight[units].flatten(1)[:, :_LENGTH])) @ given)


def _alike(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns how alike the rows of every pair are, less the mean, as a vector of length one."""
    flat = unit_rows(rows.reshape(len(rows), -1))
    pairs = (flat @ flat.T)[np.triu_indices(len(flat), 1)]
    centred: NDArray[np.float32] = unit_rows((pairs - pairs.mean())[None])[0]
    return centred


def _of_norm_one(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns a matrix of norm one."""
    scaled: NDArray[np.float32] = rows / max(float(np.linalg.norm(rows)), 1e-30)
    return scaled


def _by_unit(
    weight: Tensor, reading: Reading, chosen: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Returns ``(rows, chosen units, values of each)``, with a normalisation's factors in them."""
    rows, channels, taps = weight.shape
    units, rest = divmod(channels, reading.outer * reading.inner)
    if rest or not len(chosen) or units <= int(chosen.max()):
        return None
    split = weight.reshape(rows, reading.outer, units, reading.inner * taps)[:, :, chosen]
    if reading.scale is not None and len(reading.scale) == units:
        split = split * reading.scale[chosen][:, None]
    return _tamed(split.transpose(1, 2).reshape(rows, len(chosen), -1))


def _tamed(weight: Tensor) -> NDArray[np.float32]:
    """Returns a weight whose largest entry is 1: no square of it is infinite."""
    largest = weight.abs().max() if weight.numel() else torch.ones(())
    scaled: NDArray[np.float32] = (weight / torch.where(largest > 0, largest, 1.0)).numpy()
    return scaled


def _some(channels: int, values: int) -> NDArray[np.int64]:
    """Returns the places of as many channels as are looked at, each of so many values."""
    most = max(_LENGTH // max(values, 1), 1)
    if channels <= most:
        return np.arange(channels)
    return np.sort(np.random.default_rng(_SEED).permutation(channels)[:most])


def _kept(ours: int, theirs: int) -> NDArray[np.int64]:
    """Returns which of our units take part: all, or as many as the largest matrix has room for."""
    most = max(CELLS // max(theirs, 1), _LEAST)
    if ours <= most:
        return np.arange(ours)
    return np.sort(np.random.default_rng(_SEED).permutation(ours)[:most])


def _agreement(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], *, turn: bool
) -> tuple[int, int]:
    """Tests paired channels by their outgoing weights.

    Args:
        ours: Shape ``(rows, pairs, taps)``.
        theirs: Shape ``(other rows, pairs, taps)``.
        turn: Whether the rows correspond by a rotation and not by their order.

    Returns:
        How many pairs were tested, and how many agree.
    """
    order = np.random.default_rng(_SEED).permutation(ours.shape[1])
    needed = len(order) if turn else -(-_TELLING // ours.shape[2])
    first = max(len(order) // 4, min(needed, len(order) // 2))
    known, asked = order[:first], order[first:]
    asked = asked[: math.isqrt(CELLS)]
    if min(len(known), len(asked)) < _LEAST:
        return 0, 0
    left, right = (w[:, known].reshape(len(w), -1) for w in (ours, theirs))
    if turn:
        if left.shape[1] < len(left):
            return 0, 0
        rotation = turned(right.astype(np.float64) @ left.T)
        mine, others = np.einsum("mit,jm->jit", ours[:, asked], rotation), theirs[:, asked]
    else:
        rows = _kept(len(left), len(right))
        one, two = assigned(likeness(left[rows], right))
        mine, others = ours[rows[one]][:, asked], theirs[two][:, asked]
    columns, partners = (
        unit_rows(w.transpose(1, 0, 2).reshape(len(asked), -1)) for w in (mine, others)
    )
    return _agreeing(columns, partners) if columns.shape[1] >= _LEAST else (0, 0)


def _agreeing(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> tuple[int, int]:
    """Counts rows that are not all zero, and those of them whose partner is nearest.

    A row with several equally near ones does not agree.
    """
    alive = np.asarray(ours.any(axis=1) & theirs.any(axis=1))
    likenesses = ours @ theirs.T
    best = likenesses.max(axis=1)
    own = np.diag(likenesses)
    near = (likenesses >= best[:, None] - 1e-5).sum(axis=1)
    agree = (own >= best - 1e-5) & (near <= 2)
    return int(alive.sum()), int((agree & alive).sum())
