"""Decides which architecture weights get: the caller's, the folder's, or a recognised one.

choice = choose_architecture(read_weights(path), arch=None)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fingerprint.architectures.architecture import Architecture, parse_architecture
from fingerprint.architectures.recognition import recognise
from fingerprint.formats.weights_file import WeightsFile
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


def choose_architecture(weights: WeightsFile, arch: str | None) -> Choice:
    """Returns the architecture to build around weights.

    Args:
        weights: Tensors, and the configuration of their folder.
        arch: What the caller asked for; None to use the configuration or to recognise it.

    Raises:
        UsageError: ``arch`` does not parse.
        UnknownArchitecture: None given and none recognised.
        AmbiguousArchitecture: Several fit and compute different functions.
    """
    if arch is not None:
        parsed = parse_architecture(arch)
        return Choice(architecture=parsed, fits=(parsed.name,) if parsed.source == "timm" else ())
    name = weights.config.get("architecture")
    if isinstance(name, str):
        return _configured(name, weights.config)
    found = recognise(weights.tensors)
    warnings = []
    if found.others:
        warnings.append(
            f"recognised as timm:{found.name}; the same function is also called "
            f"{listed(found.others)}"
        )
    return Choice(
        architecture=Architecture(source="timm", name=found.name, options={}),
        fits=(found.name, *found.others),
        warnings=tuple(warnings),
    )


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
    settings = config.get("pretrained_cfg")
    return Choice(
        architecture=Architecture(source="timm", name=parsed.name, options=options),
        settings=_preprocessing(settings) if isinstance(settings, Mapping) else {},
    )


def _preprocessing(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps the size, mean and deviation, each only if it is a short list of numbers."""
    return {
        key: tuple(settings[key])
        for key in ("input_size", "mean", "std")
        if _is_flat(settings.get(key)) and settings[key]
    }


def _is_flat(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 16
        and all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value)
    )
