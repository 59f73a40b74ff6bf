"""Decides what inputs a network takes: from the caller, from metadata, or by trying.

What the caller states is used as stated. Images (1, 3 or 4 channels, no bounds given) are
8-bit pixels; everything else is float32 inside bounds, by default -1 to 1, which is warned of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.text import first_line

__all__ = ["CANDIDATE_SIZES", "MAX_INPUT_SIZE", "describe_input", "sample_inputs"]

CANDIDATE_SIZES = (
    32,
    64,
    96,
    112,
    128,
    160,
    192,
    224,
    240,
    256,
    288,
    299,
    320,
    384,
    448,
    512,
    28,
    16,
    8,
)
"""Image sizes tried, in this order, when nobody says the size; 28 comes first for grey images."""

MAX_INPUT_SIZE = 2**24
"""Most values one input may have (a little more than 3 x 2048 x 2048)."""

_DEFAULT_BOUNDS = (-1.0, 1.0)
_IMAGE_CHANNELS = (1, 3, 4)


def describe_input(
    module: nn.Module,
    *,
    settings: Mapping[str, Any],
    input_size: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bounds: Sequence[float] | None = None,
) -> tuple[InputSpec, tuple[str, ...]]:
    """Returns the input specification, and one warning for each guess.

    Args:
        module: The network, in evaluation mode.
        settings: Metadata with any of ``input_size``, ``mean`` and ``std``.
        input_size: Shape of one input, as the caller states it.
        mean: Per-channel mean, as the caller states it.
        std: Per-channel deviation, as the caller states it.
        bounds: Smallest and largest input value, as the caller states them.

    Raises:
        UsageError: A value is out of range.
        IncompatibleModel: No size was found that the network accepts.
    """
    warnings: list[str] = []
    shape = _shape(module, settings, input_size, warnings)
    if not shape or min(shape) < 1:
        raise UsageError(f"input size: expected positive sizes such as 3,32,32, got {shape}")
    if math.prod(shape) > MAX_INPUT_SIZE:
        raise IncompatibleModel(
            f"input size: expected at most {MAX_INPUT_SIZE} values, got {math.prod(shape):.4g}; "
            "set a smaller --input-size"
        )
    image = len(shape) == 3 and shape[0] in _IMAGE_CHANNELS
    pixels = image and bounds is None
    if bounds is None and not pixels:
        warnings.append("input bounds were not given, -1,1 was assumed; set --bounds lo,hi")
    limits = (0.0, 1.0) if pixels else _pair(bounds)
    unstated = mean is None and std is None
    mean, std = _normalisation(shape[0], settings, {"mean": mean, "std": std})
    if pixels and unstated and not mean and not std:
        warnings.append(
            "no normalisation is known: inputs in 0 to 1 go in as they are; set --mean and --std"
        )
    spec = InputSpec(
        shape=shape,
        kind="pixels" if pixels else "float",
        bounds=limits,
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
    )
    return spec, tuple(warnings)


def sample_inputs(spec: InputSpec, batch: int, *, device: torch.device | str = "cpu") -> Tensor:
    """Returns reproducible random inputs of shape ``(batch, *spec.shape)``, float32."""
    generator = torch.Generator().manual_seed(0)
    low, high = spec.bounds
    noise = torch.rand((batch, *spec.shape), generator=generator)
    return (low + (high - low) * noise).to(device)


def _pair(bounds: Sequence[float] | None) -> tuple[float, float]:
    if bounds is None:
        return _DEFAULT_BOUNDS
    if len(bounds) != 2:
        raise UsageError(f"bounds: expected lo,hi, got {len(bounds)} values")
    return float(bounds[0]), float(bounds[1])


def _normalisation(
    channels: int,
    settings: Mapping[str, Any],
    stated: Mapping[str, Sequence[float] | None],
) -> tuple[Sequence[float], Sequence[float]]:
    """Returns mean and deviation: the caller's, else the metadata's, else none."""
    found: list[Sequence[float]] = []
    for key, value in stated.items():
        known = tuple(settings.get(key) or ())
        fitting = known if len(known) in (1, channels) else ()
        found.append(fitting if value is None else value)
    return found[0], found[1]


def _shape(
    module: nn.Module,
    settings: Mapping[str, Any],
    input_size: Sequence[int] | None,
    warnings: list[str],
) -> tuple[int, ...]:
    if input_size is not None:
        return tuple(map(int, input_size))
    stated = settings.get("input_size")
    if stated:
        channels = _first_width(module, nn.Conv2d)
        size = tuple(map(int, stated))
        return (channels, *size[1:]) if channels and len(size) == 3 else size
    shape = _try_shapes(module)
    text = ",".join(map(str, shape))
    warnings.append(f"the input size was guessed by trying: {text}; set --input-size to be sure")
    return shape


def _first_width(module: nn.Module, kind: type[nn.Module]) -> int | None:
    first = next((layer for layer in module.modules() if isinstance(layer, kind)), None)
    width = getattr(first, "in_channels", getattr(first, "in_features", None))
    return int(width) if width is not None else None


def _try_shapes(module: nn.Module) -> tuple[int, ...]:
    """Returns the smallest usual shape the network accepts."""
    failure: Exception | None = None
    for shape in _candidates(module):
        try:
            with torch.no_grad():
                module(torch.zeros(2, *shape, device=_device(module)))
        except Exception as error:
            # Any failure means only that this shape is not the one.
            failure = error
        else:
            return shape
    reason = f" ({first_line(failure)})" if failure else ""
    raise IncompatibleModel(f"no usual input size fits the network{reason}; set --input-size")


def _candidates(module: nn.Module) -> list[tuple[int, ...]]:
    kinds = (nn.Conv2d, nn.Conv1d, nn.Linear)
    first = next((layer for layer in module.modules() if isinstance(layer, kinds)), None)
    if isinstance(first, nn.Conv2d):
        grey = (28,) if first.in_channels == 1 else ()
        return [(first.in_channels, size, size) for size in (*grey, *CANDIDATE_SIZES)]
    if isinstance(first, nn.Conv1d):
        return [(first.in_channels, 2**power) for power in range(4, 15)]
    if isinstance(first, nn.Linear):
        width = first.in_features
        images = [
            (channels, side, side)
            for channels in (3, 1, 4)
            for side in CANDIDATE_SIZES
            if channels * side * side == width
        ]
        return [*images, (width,)]
    return []


def _device(module: nn.Module) -> torch.device:
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
