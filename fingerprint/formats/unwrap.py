"""Finds the weights inside what training scripts save around them.

A checkpoint is often a dictionary with the weights under ``state_dict`` or ``model``, next to
an optimizer and the epoch; names often carry the prefix of a wrapper (``module.`` of data
parallel training, ``_orig_mod.`` of a compiled module). All of that is removed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fingerprint.errors import IncompatibleModel
from fingerprint.text import listed

__all__ = ["Weights", "strip_prefixes", "unwrap"]

_RAW = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "module")
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
_NEST = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """A bare state_dict.

    Attributes:
        tensors: Tensors by name, prefixes removed.
        warnings: One line for each choice that was made.
    """

    tensors: dict[str, Tensor]
    warnings: tuple[str, ...] = ()


def unwrap(content: object) -> Weights:
    """Returns the weights a checkpoint holds.

    Where a checkpoint holds both the trained weights and their moving average, the average is
    taken, as timm's own ``load_checkpoint`` does, and a warning says so.

    Args:
        content: What the file holds: a state_dict, or dictionaries around one.

    Raises:
        IncompatibleModel: There is no state_dict in it.
    """
    warnings: list[str] = []
    found = content
    for _ in range(_NEST):
        if not isinstance(found, Mapping) or not found:
            break
        if _is_state_dict(found):
            tensors = {str(name): value for name, value in found.items() if _is_tensor(value)}
            return Weights(tensors=strip_prefixes(tensors), warnings=tuple(warnings))
        key = _choose(found, warnings)
        if key is None:
            break
        found = found[key]
    raise IncompatibleModel(
        f"expected a state_dict (tensors by name), got {_describe(content)}; "
        "save it with torch.save(model.state_dict(), path)"
    )


def strip_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Removes the wrappers' prefixes from the names.

    ``_orig_mod.`` goes wherever it stands; ``module.`` only where every name begins with it,
    because a network may well have a part called ``module``.
    """
    named = {
        ".".join(part for part in name.split(".") if part != "_orig_mod"): tensor
        for name, tensor in tensors.items()
    }
    while named and all(name.startswith("module.") for name in named):
        named = {name.removeprefix("module."): tensor for name, tensor in named.items()}
    return named if len(named) == len(tensors) else dict(tensors)


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _is_state_dict(found: Mapping[object, object]) -> bool:
    """Whether the tensors are here; extra entries such as a step count do not matter."""
    tensors = sum(map(_is_tensor, found.values()))
    nested = any(_holds_tensors(found.get(key)) for key in _AVERAGED + _RAW)
    return tensors > 0 and not nested


def _holds_tensors(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    inner = list(value.values())
    return any(map(_is_tensor, inner)) or any(
        isinstance(child, Mapping) and any(map(_is_tensor, child.values())) for child in inner
    )


def _choose(found: Mapping[object, object], warnings: list[str]) -> str | None:
    averaged = next((key for key in _AVERAGED if _holds_tensors(found.get(key))), None)
    raw = next((key for key in _RAW if _holds_tensors(found.get(key))), None)
    if averaged and raw:
        warnings.append(
            f"the checkpoint holds both '{raw}' and the moving average '{averaged}': "
            f"'{averaged}' was taken; save the other alone to use it"
        )
    return averaged or raw


def _describe(content: object) -> str:
    if isinstance(content, Mapping):
        names = listed(map(str, content), shown=5)
        return f"a dictionary with the keys {names}" if content else "an empty dictionary"
    return type(content).__name__
