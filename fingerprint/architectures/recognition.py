"""Recognises a timm network from the names and shapes of its weights, for any class count.

    found = recognise(tensors)
    found.name, found.classes, found.others

An index made beforehand (``scripts/build_timm_index.py``) holds a digest of the names and
shapes of every timm architecture, so nothing is built to find the one that fits. Architectures
that compute the same function with the same weights count as one; where several functions fit,
only the caller can tell which was trained.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from torch import Tensor

from fingerprint.errors import AmbiguousArchitecture, EnvironmentFailure, UnknownArchitecture
from fingerprint.text import listed

__all__ = ["INDEX_SCHEMA", "Recognised", "names_digest", "recognise", "shapes_digest"]

INDEX_SCHEMA = 1
"""Version of the index file's layout."""

_DIGEST_BYTES = 10  # 80 bits: no collision among thousands of architectures
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """The architecture that fits.

    Attributes:
        name: The timm name.
        classes: Number of classes the head has.
        others: Names that compute the same function with these weights.
        evidence: How names with equal shapes were told apart when the index was made:
            ``answers``, ``structure``, or ``alone`` when there is only one.
    """

    name: str
    classes: int
    others: tuple[str, ...] = ()
    evidence: str = "alone"


def recognise(tensors: Mapping[str, Tensor]) -> Recognised:
    """Returns the timm architecture whose names and shapes the weights have.

    Args:
        tensors: Weights by bare name.

    Raises:
        UnknownArchitecture: None fits.
        AmbiguousArchitecture: Several fit and compute different functions.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for entry in _index().get(names_digest(shapes), ()):
        heads = [(str(name), int(axis)) for name, axis in entry["heads"]]
        classes = _classes(shapes, heads)
        if classes is None or shapes_digest(shapes, heads) != entry["shapes"]:
            continue
        # Takes seconds; what is not recognised, or built by the caller's own code, goes without.
        import timm

        functions = [
            [name for name in names if timm.is_model(name)] for names in entry["functions"]
        ]
        functions = [names for names in functions if names]
        if len(functions) > 1:
            raise _ambiguous(functions)
        if functions:
            first, *others = functions[0]
            return Recognised(
                name=first, classes=classes, others=tuple(others), evidence=entry["by"]
            )
    raise UnknownArchitecture(
        f"no timm architecture has these {len(shapes)} weights ({listed(shapes, shown=2)}); "
        "name it with --arch timm:NAME or --arch package.module:factory"
    )


def names_digest(names: Iterable[str]) -> str:
    """Returns a short digest of a set of tensor names, counters of seen batches left out."""
    text = "\n".join(sorted(name for name in names if not name.endswith(_COUNTER)))
    return _digest(text)


def shapes_digest(shapes: Mapping[str, Sequence[int]], heads: Iterable[tuple[str, int]]) -> str:
    """Returns a short digest of names with shapes; axes that follow the class count are open."""
    open_axes = set(heads)
    lines = []
    for name in sorted(name for name in shapes if not name.endswith(_COUNTER)):
        sizes = [
            "*" if (name, axis) in open_axes else str(n) for axis, n in enumerate(shapes[name])
        ]
        lines.append(f"{name} {','.join(sizes)}")
    return _digest("\n".join(lines))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[: 2 * _DIGEST_BYTES]


def _classes(shapes: Mapping[str, Sequence[int]], heads: Sequence[tuple[str, int]]) -> int | None:
    """Returns the class count all heads agree on; None if they do not."""
    counts = {shapes[name][axis] if axis < len(shapes[name]) else -1 for name, axis in heads}
    return counts.pop() if len(counts) == 1 else None


def _ambiguous(functions: Sequence[Sequence[str]]) -> AmbiguousArchitecture:
    candidates = tuple(names[0] for names in functions)
    return AmbiguousArchitecture(
        f"{len(candidates)} timm architectures fit these weights and compute different functions: "
        f"{listed(candidates, shown=8)}; choose one with --arch timm:NAME",
        candidates,
    )


@functools.cache
def _index() -> Mapping[str, tuple[Mapping[str, Any], ...]]:
    """Returns the index by digest of names; read once."""
    file = resources.files("fingerprint.architectures") / "data" / "timm_index.json.gz"
    try:
        document = json.loads(gzip.decompress(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise EnvironmentFailure(
            f"{file}: the index of timm architectures cannot be read; reinstall the package, "
            "or name the architecture with --arch"
        ) from error
    entries: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for entry in document["entries"]:
        entries[entry["names"]] = (*entries.get(entry["names"], ()), entry)
    return entries
