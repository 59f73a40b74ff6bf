"""Recognises a timm network from the names and shapes of its weights, for any class count.

    found = recognise(tensors)
    found.name, found.classes, found.others

An index made beforehand (``scripts/build_timm_index.py``) holds a digest of the names and
shapes of every timm architecture, so nothing is built to find the one that fits. Where none
does, the nearest by names are built without memory, to see whether the weights are among other
tensors, or to say what differs. Architectures that compute the same function with the same
weights count as one; where several functions fit, only the caller can tell which was trained.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from torch import Tensor

from fingerprint.architectures.alignment import align
from fingerprint.architectures.architecture import key_difference
from fingerprint.architectures.near_miss import (
    TRANSFORMERS_CLASSES,
    describe_difference,
    outline,
    transformers_name,
)
from fingerprint.architectures.sketch import Likeness, likeness, query
from fingerprint.errors import AmbiguousArchitecture, EnvironmentFailure, UnknownArchitecture
from fingerprint.formats.restored import restored
from fingerprint.text import listed

__all__ = ["INDEX_SCHEMA", "Recognised", "names_digest", "recognise", "shapes_digest"]

INDEX_SCHEMA = 2
"""Version of the index file's layout."""

_DIGEST_BYTES = 10  # 80 bits: no collision among thousands of architectures
_COUNTER = "num_batches_tracked"
_MOST_PREFIXES = 8
_TRIED = 3
_HELD = 0.9  # of the sampled names of an architecture, for it to be tried at all
_NEAR = 0.4  # of all names in common, for an architecture to be named as the nearest


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
        UnknownArchitecture: None fits; the message names the nearest and what differs.
        AmbiguousArchitecture: Several fit and compute different functions.
        IncompatibleModel: The weights are parametrised or packed in a way that is not undone.
    """
    found = _exact(tensors)
    if found is not None:
        return found
    plain, notes = restored(tensors)
    if notes:
        found = _exact(plain)
    return found or _by_likeness(plain)


def _exact(tensors: Mapping[str, Tensor]) -> Recognised | None:
    """Returns the architecture of which the tensors are all and nothing else."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for names in _views(shapes):
        for entry in _index().by_names.get(names_digest(names), ()):
            heads = [(str(name), int(axis)) for name, axis in entry["heads"]]
            classes = _classes(names, heads)
            if classes is None or shapes_digest(names, heads) != entry["shapes"]:
                continue
            found = _decided(entry, classes)
            if found is not None:
                return found
    return None


def _views(shapes: Mapping[str, Sequence[int]]) -> Iterator[Mapping[str, Sequence[int]]]:
    """Yields the names as they are, and without what most of them begin with."""
    yield shapes
    begun: Counter[str] = Counter()
    for name in shapes:
        parts = name.split(".")
        begun.update("".join(f"{part}." for part in parts[:cut]) for cut in range(1, len(parts)))
    for prefix, count in begun.most_common(_MOST_PREFIXES):
        if 2 * count >= len(shapes):
            yield {
                name[len(prefix) :]: shape
                for name, shape in shapes.items()
                if name.startswith(prefix)
            }


def _decided(entry: Mapping[str, Any], classes: int) -> Recognised | None:
    """Returns the architecture of an entry that the installed timm has; None if it has none.

    Raises:
        AmbiguousArchitecture: It has several, which compute different functions.
    """
    # Takes seconds; what is not recognised, or built by the caller's own code, goes without.
    import timm

    functions = [[name for name in names if timm.is_model(name)] for names in entry["functions"]]
    functions = [names for names in functions if names]
    if len(functions) > 1:
        raise _ambiguous(functions)
    if not functions:
        return None
    first, *others = functions[0]
    return Recognised(name=first, classes=classes, others=tuple(others), evidence=entry["by"])


def _by_likeness(tensors: Mapping[str, Tensor]) -> Recognised:
    """Tries the architectures whose names are nearest: other tensors may lie beside theirs."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    unknown = (
        f"no timm architecture has these {len(shapes)} weights ({listed(shapes, shown=2)}); "
        "name it with --arch timm:NAME or --arch package.module:factory"
    )
    asked = query(shapes)
    ranked = sorted(
        ((likeness(entry["sketch"], asked), place, entry)
         for place, entry in enumerate(_index().entries)),
        key=lambda one: (one[0], -one[1]),
        reverse=True,
    )  # fmt: skip
    for near, _, entry in ranked[:_TRIED]:
        if near.held >= _HELD and near.sizes >= _HELD:
            found = _fitted(entry, tensors)
            if found is not None:
                return found
    foreign = transformers_name(list(shapes))
    if foreign is not None:
        raise UnknownArchitecture(
            f"the names are those of transformers ({foreign}), not timm's: {_way_to(foreign)}, or "
            "--arch package.module:factory with a function that builds it and returns its logits"
        )
    others = [(likeness(one["sketch"], asked), one["name"]) for one in _index().others]
    other, name = max(others, default=(Likeness(0.0, 0.0, 0.0), ""))
    best = ranked[0][0] if ranked else Likeness(0.0, 0.0, 0.0)
    if other > best and other.names >= _NEAR:
        exact = "those of" if other.names > 0.95 and other.sizes == 1 else "nearest to those of"
        raise UnknownArchitecture(
            f"the names are {exact} torchvision's {name.rpartition(':')[2]}: give --arch {name} "
            "and --input-size"
        )
    if best.names < _NEAR:
        raise UnknownArchitecture(unknown)
    named = next((name for names in ranked[0][2]["functions"] for name in names), "")
    raise UnknownArchitecture(describe_difference(named, tensors))


def _way_to(name: str) -> str:
    """Says what makes a network of transformers be read."""
    if name not in TRANSFORMERS_CLASSES:
        return "give a folder of its image classifier with its config.json"
    if importlib.util.find_spec("transformers") is None:
        return "pip install transformers and give the folder with its config.json"
    return (
        "the weights do not say everything, such as the number of heads; give the folder with "
        "their config.json"
    )


def _fitted(entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Recognised | None:
    """Returns an entry's architecture if all its weights are among the tensors."""
    name = entry["functions"][0][0]
    try:
        own = align(outline(name), tensors).tensors
    except Exception:
        # Not to be built, or weights that are not to be computed: told where it is named.
        return None
    heads = [(str(key), int(axis)) for key, axis in entry["heads"]]
    named = {key: tuple(tensor.shape) for key, tensor in own.items()}
    if any(key not in named for key, _ in heads):
        return None
    classes = _classes(named, heads)
    if classes is None or key_difference(outline(name, num_classes=classes), own):
        return None
    return _decided(entry, classes)


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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Index:
    """The index as it is used.

    Attributes:
        by_names: timm's architectures by digest of names.
        entries: The same in the file's order.
        others: Networks of other libraries, which are only named.
    """

    by_names: Mapping[str, tuple[Mapping[str, Any], ...]]
    entries: tuple[Mapping[str, Any], ...]
    others: tuple[Mapping[str, Any], ...]


@functools.cache
def _index() -> _Index:
    """Returns the index; read once."""
    file = resources.files("fingerprint.architectures") / "data" / "timm_index.json.gz"
    try:
        document = json.loads(gzip.decompress(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise EnvironmentFailure(
            f"{file}: the index of timm architectures cannot be read; reinstall the package, "
            "or name the architecture with --arch"
        ) from error
    by_names: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for entry in document["entries"]:
        by_names[entry["names"]] = (*by_names.get(entry["names"], ()), entry)
    return _Index(
        by_names=by_names, entries=tuple(document["entries"]), others=tuple(document["others"])
    )
