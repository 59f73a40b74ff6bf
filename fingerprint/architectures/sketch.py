"""How near the names of some tensors are to those of an architecture, from a few numbers.

    sketch(shapes, heads)           # made once for each architecture, kept in the index
    likeness(kept, query(shapes))   # made for a file that no architecture fits

A sketch holds hashes of the names that come first in an order that depends on nothing but the
names. The share of them that a file has estimates the share of all names that it has, whatever
else the file holds and whatever its names begin with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Likeness", "Query", "likeness", "query", "sketch"]

_SAMPLE = 16
_NAME_HEX, _SIZE_HEX = 8, 4
_COUNTER = "num_batches_tracked"
_DEEPEST = 6


@dataclass(frozen=True, kw_only=True)
class Query:
    """The names of a file's tensors, with anything taken off their beginnings.

    Attributes:
        count: Number of tensors.
        sizes: For the hash of each name or ending of one, the hashes of the shapes it has.
    """

    count: int
    sizes: Mapping[str, frozenset[str]]


@dataclass(frozen=True, order=True)
class Likeness:
    """How much of an architecture a file has, comparable: more is greater.

    Attributes:
        names: Estimated share of all names, of either, that both have.
        sizes: Share of the sampled names that have the same shape too.
        held: Share of the architecture's names that the file has.
    """

    names: float
    sizes: float
    held: float


def sketch(shapes: Mapping[str, Sequence[int]], heads: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Returns the sketch of an architecture as JSON values.

    Args:
        shapes: Shape of each of its tensors by name.
        heads: Names whose shape depends on the class count, which are left out.
    """
    open_names = {name for name, _ in heads}
    named = [name for name in shapes if not name.endswith(_COUNTER)]
    sample = sorted((_hash(name, _NAME_HEX), name) for name in named if name not in open_names)
    sample = sample[:_SAMPLE]
    return {
        "count": len(named),
        "sample": "".join(key for key, _ in sample),
        "sizes": "".join(_size(shapes[name]) for _, name in sample),
    }


def query(shapes: Mapping[str, Sequence[int]]) -> Query:
    """Returns what :func:`likeness` compares sketches with."""
    sizes: dict[str, set[str]] = {}
    named = [name for name in shapes if not name.endswith(_COUNTER)]
    for name in named:
        parts = name.split(".")
        for cut in range(min(len(parts), _DEEPEST)):
            key = _hash(".".join(parts[cut:]), _NAME_HEX)
            sizes.setdefault(key, set()).add(_size(shapes[name]))
    return Query(count=len(named), sizes={key: frozenset(found) for key, found in sizes.items()})


def likeness(kept: Mapping[str, Any], asked: Query) -> Likeness:
    """Returns how near a file is to an architecture.

    Args:
        kept: What :func:`sketch` returned.
        asked: What :func:`query` returned for the file.
    """
    sample, sizes, count = str(kept["sample"]), str(kept["sizes"]), int(kept["count"])
    keys = [sample[at : at + _NAME_HEX] for at in range(0, len(sample), _NAME_HEX)]
    if not keys:
        return Likeness(0.0, 0.0, 0.0)
    of_size = [sizes[at : at + _SIZE_HEX] for at in range(0, len(sizes), _SIZE_HEX)]
    there = [key in asked.sizes for key in keys]
    equal = [size in asked.sizes.get(key, ()) for key, size in zip(keys, of_size, strict=True)]
    held = sum(there) / len(keys)
    both = held * count
    return Likeness(both / (count + asked.count - both), sum(equal) / len(keys), held)


def _size(shape: Sequence[int]) -> str:
    return _hash(",".join(map(str, shape)), _SIZE_HEX)


def _hash(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]
