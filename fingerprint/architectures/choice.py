"""Decides which architecture weights get: the caller's, the folder's, or a recognised one.

weights = read_weights(path)
choice = choose_architecture(weights.entries[0].tensors, weights.config, arch=None)
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fingerprint.architectures.architecture import Architecture, parse_architecture
from fingerprint.architectures.near_miss import transformers_name
from fingerprint.architectures.recognition import recognise
from fingerprint.formats.folder import PREPROCESSOR
from fingerprint.text import listed

__all__ = ["Choice", "choose_architecture"]

_SIMPLE = (bool, int, float, str, type(None))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An architecture, and why.

    Attributes:
        architecture: What to build.
        settings: Preprocessing from the model folder's configuration.
        fits: The timm names whose published normalisations could be meant; empty when the
            folder settles it or the network is not timm's.
        warnings: One line for each assumption.
    """

    architecture: Architecture
    settings: Mapping[str, Any] = field(default_factory=dict)
    fits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def choose_architecture(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], arch: str | None
) -> Choice:
    """Returns the architecture to build around weights.

    Args:
        tensors: The weights by name.
        config: What their folder says of the network; empty for a single file.
        arch: What the caller asked for; None to use the configuration or to recognise it.

    Raises:
        UsageError: ``arch`` does not parse.
        UnknownArchitecture: None given and none recognised.
        AmbiguousArchitecture: Several fit and compute different functions.
    """
    if arch is not None:
        parsed = parse_architecture(arch)
        if parsed.source == "transformers":
            return _of_transformers(parsed, config)
        settings = _settings(config)
        open_timm = parsed.source == "timm" and not settings
        return Choice(
            architecture=parsed, settings=settings, fits=(parsed.name,) if open_timm else ()
        )
    name = config.get("architecture")
    if isinstance(name, str):
        return _configured(name, config)
    kind = config.get("model_type")
    if (
        isinstance(kind, str)
        and transformers_name(list(tensors)) is not None
        and importlib.util.find_spec("transformers") is not None
    ):
        return _of_transformers(Architecture(source="transformers", name=kind, options={}), config)
    found = recognise(tensors)
    warnings = []
    if found.others:
        warnings.append(
            f"recognised as timm:{found.name}; the same function is also called "
            f"{listed(found.others)}"
        )
    return Choice(
        architecture=Architecture(source="timm", name=found.name, options={}),
        settings=_settings(config),
        fits=(found.name, *found.others),
        warnings=tuple(warnings),
    )


def _of_transformers(asked: Architecture, config: Mapping[str, Any]) -> Choice:
    # It imports transformers, which takes seconds.
    from fingerprint.architectures.transformers_models import architecture_of

    return Choice(architecture=architecture_of(asked, config), settings=_settings(config))


def _configured(name: str, config: Mapping[str, Any]) -> Choice:
    """Reads ``architecture``, ``model_args`` and ``pretrained_cfg`` as timm's hub writes them."""
    parsed = parse_architecture(f"timm:{name}")
    options = dict(parsed.options)
    arguments = config.get("model_args")
    if isinstance(arguments, Mapping):
        options |= {
            str(key): tuple(value) if isinstance(value, list) else value
            for key, value in arguments.items()
            if isinstance(value, _SIMPLE) or _is_flat(value)
        }
    return Choice(
        architecture=Architecture(source="timm", name=parsed.name, options=options),
        settings=_settings(config),
    )


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the size, mean and deviation a folder states, timm's words before others'.

    timm writes them under ``pretrained_cfg``, and once wrote them beside ``architecture``;
    transformers writes ``image_size``, and the rest into ``preprocessor_config.json``.
    """
    settings = config.get("pretrained_cfg")
    stated = settings if isinstance(settings, Mapping) else config
    found = {
        key: tuple(stated[key])
        for key in ("input_size", "mean", "std")
        if _is_flat(stated.get(key)) and stated[key]
    }
    size = _height_and_width(config.get("image_size"))
    stated_size = {} if size is None else {"input_size": (3, *size)}
    return {**stated_size, **_preprocessor(config.get(PREPROCESSOR)), **found}


def _preprocessor(stated: Any) -> dict[str, Any]:
    """Reads what transformers' image processors write: ``image_mean``, ``size`` and the like."""
    if not isinstance(stated, Mapping):
        return {}
    found: dict[str, Any] = {}
    # Without rescaling, the network takes 0..255; with inputs in 0..1 that is another scale.
    scale = 1.0 if stated.get("do_rescale", True) is not False else 255.0
    mean, std = stated.get("image_mean"), stated.get("image_std")
    if stated.get("do_normalize", True) is False:
        mean, std = ([0.0], [1.0]) if scale != 1 else (None, None)
    if _is_flat(mean) and _is_flat(std) and mean and std:
        found["mean"] = tuple(value / scale for value in mean)
        found["std"] = tuple(value / scale for value in std)
    cropped = stated.get("do_center_crop", "crop_size" in stated)
    size = _height_and_width(stated.get("crop_size") if cropped else stated.get("size"))
    if size is not None:
        found["input_size"] = (3, *size)
    return found


def _height_and_width(size: Any) -> tuple[int, int] | None:
    """Reads ``224``, ``{"height": 224, "width": 224}`` or ``{"shortest_edge": 224}``."""
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        height, width = size.get("height", edge), size.get("width", edge)
    else:
        height = width = size
    both = [side for side in (height, width) if type(side) is int and side > 0]
    return (both[0], both[1]) if len(both) == 2 else None


def _is_flat(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 16
        and all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value)
    )
