"""How an ONNX graph is fed: which input, in what layout, and what is done to a picture before.

A graph says the sizes and type of its inputs, not their meaning: layout is found from the sizes,
normalisation and the order of channels are the caller's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.network.inputs import describe_input
from fingerprint.network.run import to_inputs, to_tensor
from fingerprint.network.spec import InputSpec
from fingerprint.text import clean, listed

__all__ = ["Channels", "Feeding", "Layout", "chosen_input", "feeding"]

Layout = Literal["nchw", "nhwc"]
Channels = Literal["rgb", "bgr"]

_TYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(uint8)": np.dtype(np.uint8),
}
_IMAGE_CHANNELS = (1, 3, 4)
_BYTE = 255.0


@dataclass(frozen=True, kw_only=True)
class Feeding:
    """Turns inputs as they are sent into what a graph takes.

    Attributes:
        name: The graph's input.
        dtype: Its type. 8-bit pixels go in as they are, without normalisation.
        spec: What a caller sends.
        layout: Where the graph wants the channels of a picture.
        channels: In which order it wants them; a caller sends RGB, and a mean and deviation are
            in that order, too.
        batch: How many inputs it takes at once; None for any number.
    """

    name: str
    dtype: np.dtype[Any]
    spec: InputSpec
    layout: Layout = "nchw"
    channels: Channels = "rgb"
    batch: int | None = None

    def __call__(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Prepares inputs of shape ``(N, *spec.shape)``, uint8 for pixels, float32 otherwise."""
        if self.dtype == np.uint8:
            return self._arranged(np.asarray(inputs))
        dtype = torch.float64 if self.dtype == np.float64 else torch.float32
        return self.of_values(to_tensor(inputs, self.spec, dtype))

    def of_values(self, values: Tensor) -> NDArray[Any]:
        """Prepares inputs ``(N, *spec.shape)`` in ``spec.bounds``, which need not be pixels."""
        if self.dtype == np.uint8:
            return self._arranged(to_inputs(values, self.spec))
        return self._arranged(self.spec.normalise(values.detach().cpu()).numpy())

    def _arranged(self, values: NDArray[Any]) -> NDArray[Any]:
        if self.channels == "bgr":
            values = values[:, ::-1]
        if self.layout == "nhwc":
            values = np.moveaxis(values, 1, -1)
        return np.ascontiguousarray(values, self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "input": self.name,
            "dtype": self.dtype.name,
            "layout": self.layout,
            "channels": self.channels,
            "batch": self.batch,
        }


def chosen_input(
    inputs: Sequence[Mapping[str, Any]], name: str | None
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Returns the input to ask with, and a warning if there are others, which get zeros.

    Args:
        inputs: What the graph takes, as :meth:`Session.ports` says it.
        name: What the caller named.

    Raises:
        UsageError: There is none of that name, or there are several and none is named.
        IncompatibleModel: There are none, or it takes no numbers that a picture or a vector has.
    """
    names = [str(one["name"]) for one in inputs]
    if name is not None and name not in names:
        raise UsageError(f"input: '{clean(name)}' is not in {listed(names, shown=8)}")
    if not names:
        raise IncompatibleModel("expected a graph that takes inputs, this one takes none")
    if name is None and len(names) > 1:
        raise UsageError(
            f"input: the graph takes several ({listed(names, shown=8)}); choose one with --input, "
            "the others get zeros"
        )
    index = 0 if name is None else names.index(name)
    port, others = inputs[index], names[:index] + names[index + 1 :]
    if port["type"] not in _TYPES:
        raise IncompatibleModel(
            f"expected an input of float32, float64, float16 or uint8, '{clean(names[index])}' "
            f"takes {clean(port['type'])}"
        )
    if not others:
        return port, ()
    return port, (f"the graph's other inputs get zeros: {listed(others, shown=8)}",)


def feeding(
    port: Mapping[str, Any],
    *,
    input_size: Sequence[int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    bounds: Sequence[float] | None,
    layout: Layout | None,
    channels: Channels | None,
) -> tuple[Feeding, tuple[str, ...]]:
    """Decides how an input is fed, and warns of each guess.

    Args:
        port: The input, as the graph describes it.
        input_size: Shape of one input in the order C,H,W, as the caller states it.
        mean: Per-channel mean, for inputs in 0..1 or, where a value is above 1, in 0..255; for
            other bounds, on their scale.
        std: Per-channel deviation, on the same scale.
        bounds: Smallest and largest input value, for inputs that are not 8-bit images.
        layout: Where the channels are; None to find it from the sizes.
        channels: Their order in a picture; None for RGB.

    Raises:
        UsageError: An option is wrong, or has to be given.
        IncompatibleModel: What is stated does not fit the graph.
    """
    name, sizes = str(port["name"]), port["shape"]
    if not sizes or len(sizes) < 2:
        raise IncompatibleModel(
            f"expected an input with a batch dimension, '{clean(name)}' has the shape "
            f"{_shown(sizes or [])}"
        )
    batch, inner = sizes[0], list(sizes[1:])
    found = _layout(inner, layout)
    shape = _shape(inner, found, input_size)
    dtype = _TYPES[port["type"]]
    if bounds is None and _is_picture(shape):
        mean, std = _unit(mean, std)
    spec, warnings = describe_input(
        nn.Identity(), settings={}, input_size=shape, mean=mean, std=std, bounds=bounds
    )
    if dtype == np.uint8:
        if spec.kind != "pixels" or spec.mean or spec.std:
            raise UsageError(
                f"the graph's input '{clean(name)}' takes 8-bit pixels and normalises them itself; "
                "leave out --mean, --std and --bounds"
            )
        warnings = ()
    if channels == "bgr" and not (_is_picture(shape) and shape[0] == 3):
        raise UsageError(f"channels: expected pictures of 3 channels, the input has {shape}")
    fed = Feeding(
        name=name,
        dtype=dtype,
        spec=spec,
        layout=found,
        channels=channels or "rgb",
        batch=batch,
    )
    return fed, warnings


def _layout(inner: list[int | None], stated: Layout | None) -> Layout:
    """Finds the side on which the channels are: where the size is 1, 3 or 4."""
    if len(inner) != 3:
        if stated is not None:
            raise UsageError(f"layout: expected a graph that takes pictures, got {_shown(inner)}")
        return "nchw"
    if stated is not None:
        return stated
    first, last = (size in _IMAGE_CHANNELS for size in (inner[0], inner[-1]))
    if first and last:
        raise UsageError(
            f"layout: the channels of {_shown(inner)} may come first or last; set --layout nchw "
            "or --layout nhwc"
        )
    return "nhwc" if last else "nchw"


def _shape(
    inner: list[int | None], layout: Layout, stated: Sequence[int] | None
) -> tuple[int, ...]:
    """Returns the shape of one input with the channels first."""
    known = [inner[-1], *inner[:-1]] if layout == "nhwc" else inner
    if stated is None:
        if None in known:
            raise UsageError(
                f"input size: the graph takes inputs of the shape {_shown(known)}; set "
                "--input-size C,H,W"
            )
        return tuple(size for size in known if size is not None)
    fits = len(known) == len(stated) and all(
        size in (None, wanted) for size, wanted in zip(known, stated, strict=True)
    )
    if not fits:
        raise IncompatibleModel(
            f"input size: the graph takes {_shown(known)} (channels first), not "
            f"{','.join(map(str, stated))}; leave --input-size out"
        )
    return tuple(stated)


def _is_picture(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in _IMAGE_CHANNELS


def _unit(
    mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[Sequence[float] | None, Sequence[float] | None]:
    """Brings a mean and deviation for pixels in 0..255 to the scale of 0..1."""
    if not any(value > 1 for value in (*(mean or ()), *(std or ()))):
        return mean, std
    return [value / _BYTE for value in mean or (0.0,)], [value / _BYTE for value in std or (1.0,)]


def _shown(sizes: Sequence[int | None]) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes) or "none"


def fed_otherwise(fed: Feeding, spec: InputSpec, *, flipped: bool) -> Feeding:
    """Returns another way to feed the same input.

    Args:
        fed: One way.
        spec: Another normalisation.
        flipped: Whether the channels come in the other order.
    """
    other: Channels = "rgb" if fed.channels == "bgr" else "bgr"
    return replace(fed, spec=spec, channels=other if flipped else fed.channels)
