"""Decides what inputs a network takes: from the caller, from metadata, or by trying.

What the caller states is used as stated. Images (1, 3 or 4 channels, no bounds given) are
8-bit pixels; everything else is float32 inside bounds, by default -1 to 1, which is warned of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.network.model import run_module
from fingerprint.network.spec import InputSpec
from fingerprint.text import clean, first_line

__all__ = ["CANDIDATE_SIZES", "MAX_INPUT_SIZE", "check_normalisation", "describe_input"]
__all__ += ["sample_inputs"]

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
_PIXEL_MAX = 255.0
_METADATA_BOUNDS = (0.0, 1.0)  # what means and deviations are published for
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
        IncompatibleModel: No size was found that the network accepts, or what the metadata say
            in place of the caller cannot be.
    """
    warnings: list[str] = []
    _check_metadata(settings, {"input_size": input_size, "mean": mean, "std": std})
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
    if bounds is not None and limits != _METADATA_BOUNDS:
        settings = _without_normalisation(settings, limits, warnings, said=unstated)
    check_normalisation(mean, std, limits)
    mean, std = _normalisation(shape[0], settings, {"mean": mean, "std": std})
    try:
        check_normalisation(mean, std, limits)
    except UsageError as error:
        # The caller's own numbers passed: these are the file's.
        raise IncompatibleModel(f"the model's metadata: {error}") from error
    if mean and limits[0] >= 0 and limits[1] > 1 and 0 < max(mean) <= 1 and max(std or (1,)) < 1:
        warnings.append(
            f"mean {max(mean):g} looks like one for inputs in 0..1, the bounds are "
            f"{limits[0]:g},{limits[1]:g}: scale --mean and --std alike if so"
        )
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


def _check_metadata(settings: Mapping[str, Any], stated: Mapping[str, object]) -> None:
    """Refuses metadata that no network can have, where the caller states nothing himself."""
    possible: dict[str, Callable[[Any], bool]] = {
        "input_size": lambda size: type(size) is int and size > 0,
        "mean": math.isfinite,
        "std": lambda deviation: math.isfinite(deviation) and deviation > 0,
    }
    for key, holds in possible.items():
        values = list(settings.get(key) or ())
        if stated[key] is None and not all(map(holds, values)):
            raise IncompatibleModel(
                f"the model's metadata: {key} cannot be {clean(values)}; "
                f"set --{key.replace('_', '-')}"
            )


def check_normalisation(
    mean: Sequence[float] | None, std: Sequence[float] | None, bounds: tuple[float, float]
) -> None:
    """Refuses a mean or a deviation that inputs within bounds cannot have.

    A mean of 0 and a deviation of 1 change nothing and always pass. Values on the 0..255 scale,
    as Caffe, Detectron and MMCV write them, would turn every 0..1 input into nearly one point.

    Args:
        mean: Per-channel mean; None or empty for none.
        std: Per-channel deviation; None or empty for none.
        bounds: Smallest and largest input value.

    Raises:
        UsageError: A mean lies outside the bounds, or a deviation exceeds their width.
    """
    low, high = bounds
    for value in mean or ():
        if value and not low <= value <= high:
            raise UsageError(
                f"mean {value:.10g} lies outside {low:g}..{high:g}: {_way_out(value, high)}"
            )
    for value in std or ():
        if value != 1 and value > high - low:
            raise UsageError(
                f"std {value:.10g} is wider than {low:g}..{high:g}: {_way_out(value, high)}"
            )


def _way_out(value: float, high: float) -> str:
    if high <= 1 < value <= _PIXEL_MAX:
        return "on the 0..255 scale? give --bounds 0,255 or divide by 255"
    return "give the --bounds that the inputs have, or values for these bounds"


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


def _without_normalisation(
    settings: Mapping[str, Any],
    bounds: tuple[float, float],
    warnings: list[str],
    *,
    said: bool,
) -> Mapping[str, Any]:
    """Leaves out published means and deviations, which are for inputs in 0 to 1."""
    kept = {key: value for key, value in settings.items() if key not in ("mean", "std")}
    if said and (settings.get("mean") or settings.get("std")):
        low, high = bounds
        warnings.append(
            "the mean and deviation published for this network are for inputs in 0..1 and were "
            f"not used for bounds {low:g},{high:g}; set --mean and --std if it expects any"
        )
    return kept


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
                run_module(module, torch.zeros(2, *shape, device=_device(module)))
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
