"""Builds timm architectures around given weights, and asks nobody for weights.

This module imports timm, which takes seconds: import it only where an architecture is made or
recognised. The number of classes and of input channels is read from the weights, so a network
with another head than the architecture's default loads without further options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import timm
from torch import Tensor, nn

from fingerprint.architectures.architecture import Architecture
from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.text import clean, first_line

__all__ = ["build_timm", "head_names", "normalisations", "preprocessing"]

_FORBIDDEN = (
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
)


def build_timm(
    architecture: Architecture,
    tensors: Mapping[str, Tensor],
    *,
    input_size: tuple[int, ...] | None = None,
) -> nn.Module:
    """Creates a timm network with random weights, of the size the given weights have.

    Args:
        architecture: A name timm knows, and options for its constructor.
        tensors: Weights; the head and the first convolution decide classes and channels.
        input_size: Input shape ``(C, H, W)`` for architectures that fix it when built.

    Raises:
        UsageError: timm does not know the name, or an option.
        IncompatibleModel: The architecture cannot be built at this size.
    """
    name, options = architecture.name, dict(architecture.options)
    if not _known(name):
        raise UsageError(f"arch: timm has no architecture '{clean(name)}'; see timm.list_models()")
    refused = [key for key in options if key in _FORBIDDEN]
    if refused:
        raise UsageError(f"arch: option '{refused[0]}' would fetch other weights; leave it out")
    settings = preprocessing(name)
    options.setdefault("num_classes", _classes(settings, tensors))
    options.setdefault("in_chans", _channels(settings, tensors))
    if input_size is not None and len(input_size) == 3 and settings.get("fixed_input_size"):
        options.setdefault("img_size", tuple(input_size[1:]))
    try:
        module: nn.Module = timm.create_model(name, pretrained=False, **options)
    except (TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"arch: timm:{name} does not take these options: {first_line(error)}"
        ) from error
    except (RuntimeError, ValueError, AssertionError, NotImplementedError) as error:
        raise IncompatibleModel(f"timm:{name} cannot be built: {first_line(error)}") from error
    return module


def _known(name: str) -> bool:
    """Whether timm has it; names that would make timm fetch something are no names here."""
    plain = name.replace(".", "").replace("_", "").isalnum()
    return plain and bool(timm.is_model(name.split(".", maxsplit=1)[0]))


def preprocessing(name: str) -> dict[str, Any]:
    """Returns timm's settings of an architecture (``input_size``, ``mean``, ``std``, ...)."""
    settings = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    return dataclasses.asdict(settings) if settings is not None else {}


def normalisations(names: Iterable[str]) -> set[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Returns every (mean, std) that published weights of these architectures were trained with."""
    found = set()
    for name in names:
        tagged = [] if "." in name else timm.list_pretrained(f"{name}.*")
        for full in (name, *tagged):
            settings = preprocessing(full)
            if settings.get("mean") and settings.get("std"):
                found.add((tuple(settings["mean"]), tuple(settings["std"])))
    return found


def head_names(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of the classifier layers, such as ``('fc',)``."""
    return _names(settings.get("classifier"))


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, (tuple, list)) else ()


def _classes(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int | None:
    """Reads the number of classes from the head's bias or weight; None leaves the default."""
    for name in head_names(settings):
        for part in ("bias", "weight"):
            tensor = tensors.get(f"{name}.{part}")
            if tensor is not None and tensor.ndim >= 1:
                return int(tensor.shape[0])
    return None


def _channels(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int | None:
    """Reads the number of input channels from the first convolution's weight."""
    first, default = _names(settings.get("first_conv")), settings.get("input_size") or (3,)
    for name in first:
        tensor = tensors.get(f"{name}.weight")
        if tensor is not None and tensor.ndim == 4 and tensor.numel():
            channels = int(tensor.shape[1])
            return channels if channels != default[0] else None
    return None
