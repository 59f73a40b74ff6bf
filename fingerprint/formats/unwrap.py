"""Finds the sets of weights inside what training scripts save around them.

    entries(content)                # best first, each with the key it lies under
    chosen(entries(content), "ema")

A checkpoint is often a dictionary with the weights under ``state_dict`` or ``model``, next to
an optimizer, the epoch, and perhaps their moving average; names often carry the prefix of a
wrapper (``module.`` of data parallel training, ``_orig_mod.`` of a compiled module). Which of
several sets is the network's is decided later, by what fits; here they are only put in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.formats.numpy_arrays import ArrayBytes
from fingerprint.text import clean, listed

__all__ = ["AVERAGED", "Entry", "chosen", "entries", "strip_prefixes"]

AVERAGED = re.compile(r"(^|[^a-z])(ema|swa|avg|averaged?|moving_average|shadow)([^a-z]|$)", re.I)
"""How training scripts call the moving average of weights."""

_RAW = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "module")
_OTHERS = re.compile(r"optim|sched|scaler|rng|random", re.I)
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
_NEST = 5
_MAX_ENTRIES = 64
_MAX_PLACES = 10_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """One set of weights in a checkpoint.

    Attributes:
        key: The names that lead to it, joined by dots; empty for the checkpoint itself.
        tensors: Tensors by name, wrappers' prefixes removed.
        warnings: One line for each conversion.
    """

    key: str
    tensors: Mapping[str, Tensor]
    warnings: tuple[str, ...] = ()

    @property
    def averaged(self) -> bool:
        """Whether its key says that it is a moving average."""
        return bool(AVERAGED.search(self.key))


def entries(content: object) -> tuple[Entry, ...]:
    """Returns the sets of weights a checkpoint holds.

    The moving average comes before the trained weights, as in timm's own ``load_checkpoint``;
    then the keys that are common, then the larger sets.

    Args:
        content: What the file holds: a state_dict, or dictionaries and lists around some.

    Raises:
        IncompatibleModel: There is no state_dict in it.
    """
    found = [Entry(key=key, tensors=strip_prefixes(tensors)) for key, tensors in _walk(content)][
        :_MAX_ENTRIES
    ]
    if not found:
        raise IncompatibleModel(
            f"expected a state_dict (tensors by name), got {_describe(content)}; "
            "save it with torch.save(model.state_dict(), path)"
        )
    return tuple(sorted(found, key=_rank))


def chosen(found: Sequence[Entry], key: str) -> tuple[Entry, ...]:
    """Returns the sets under a key, or those whose names begin with it.

    Args:
        found: The sets.
        key: Names joined by dots, such as ``ema`` or ``state_dict.teacher``.

    Raises:
        UsageError: There is nothing of this name; the message lists what there is.
    """
    key = key.strip(".")
    exact = [entry for entry in found if entry.key == key or entry.key.endswith(f".{key}")]
    under = exact or [entry for entry in found if f".{entry.key}.".find(f".{key}.") >= 0]
    if under:
        return tuple(under)
    prefixed = [
        _under_prefix(entry, key.removeprefix(f"{entry.key}.") if entry.key else key)
        for entry in found
    ]
    kept = [entry for entry in prefixed if entry.tensors]
    if not kept:
        names = {entry.key for entry in found if entry.key}
        names |= {name.partition(".")[0] for entry in found for name in entry.tensors}
        raise UsageError(
            f"key: the file has nothing under '{clean(key)}'; it has "
            f"{listed(sorted(names), shown=8)}"
        )
    return tuple(kept)


def strip_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Removes the wrappers' prefixes from the names.

    Those that torch puts around parts of a network (``_orig_mod.`` and the like) go wherever
    they stand; ``module.`` only where every name begins with it, because a network may well
    have a part called ``module``.
    """
    named = {
        ".".join(part for part in name.split(".") if part not in _WRAPPERS): tensor
        for name, tensor in tensors.items()
    }
    while named and all(name.startswith("module.") for name in named):
        named = {name.removeprefix("module."): tensor for name, tensor in named.items()}
    return named if len(named) == len(tensors) else dict(tensors)


def _walk(content: object) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yields the keys and tensors of every dictionary that holds some, in the file's order."""
    waiting: list[tuple[str, object, int]] = [("", content, 0)]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_PLACES:
        key, place, depth = waiting.pop(0)
        if id(place) in seen or depth > _NEST:
            continue
        seen.add(id(place))
        named = _named(place)
        tensors = {name: tensor for name, value in named if (tensor := _tensor(value)) is not None}
        if tensors and isinstance(place, Mapping):
            yield key, tensors
        inner = [
            (name, value) for name, value in named if isinstance(value, (Mapping, list, tuple))
        ]
        waiting.extend(
            (f"{key}.{name}" if key else name, value, depth + 1) for name, value in inner
        )


def _named(place: object) -> list[tuple[str, object]]:
    """Returns what lies in a place, by name; an optimizer's numbered state is no such place."""
    if isinstance(place, Mapping):
        return [(name, value) for name, value in place.items() if isinstance(name, str)]
    if isinstance(place, (list, tuple)) and len(place) <= _MAX_ENTRIES:
        return [(str(index), value) for index, value in enumerate(place)]
    return []


def _tensor(value: object) -> Tensor | None:
    if isinstance(value, ArrayBytes):
        return value.tensor
    return value if isinstance(value, Tensor) else None


def _rank(entry: Entry) -> tuple[int, int]:
    size = sum(tensor.numel() for tensor in entry.tensors.values())
    if _OTHERS.search(entry.key):
        return 3, -size
    if len(entry.tensors) > 1 and entry.averaged:
        return 0, -size
    common = entry.key.rpartition(".")[2] in _RAW
    return (1 if common else 2), -size


def _under_prefix(entry: Entry, prefix: str) -> Entry:
    begin = f"{prefix}."
    kept = {
        name.removeprefix(begin): tensor
        for name, tensor in entry.tensors.items()
        if name.startswith(begin)
    }
    key = f"{entry.key}.{prefix}".lstrip(".")
    return Entry(key=key, tensors=strip_prefixes(kept), warnings=entry.warnings)


def _describe(content: object) -> str:
    if isinstance(content, Mapping):
        names = listed(map(str, content), shown=5)
        return f"a dictionary with the keys {names}" if content else "an empty dictionary"
    return type(content).__name__
