"""How inputs are sent: as tensors of some layout and type, or as pictures.

::

    form = Form(spec=InputSpec(shape=(3, 224, 224)), layout="nhwc")
    form.tensors(inputs)                # (N, 224, 224, 3), float32
    form.pictures(inputs, "PNG")        # one file each

Mean and deviation are those of the flags that files have: with them the tensors are normalised
here, without them values in bounds are sent.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import UsageError
from fingerprint.network.run import to_tensor
from fingerprint.network.spec import InputSpec

__all__ = ["Channels", "Dtype", "Form", "Layout", "Picture"]

Layout = Literal["nchw", "nhwc"]
Channels = Literal["rgb", "bgr"]
Dtype = Literal["float32", "uint8"]
Picture = Literal["PNG", "JPEG"]

_MODES = {1: "L", 3: "RGB"}
_QUALITY = 95


@dataclass(frozen=True, kw_only=True)
class Form:
    """How inputs of one domain are sent.

    Attributes:
        spec: The inputs; mean and deviation are applied before a tensor is sent.
        layout: Whether channels come before or after rows and columns.
        channels: Their order, of three.
        dtype: ``uint8`` sends 8-bit images as they are, 0 to 255.
        sent: Shape of one tensor as it is sent, where the endpoint wants the values in another.

    Raises:
        UsageError: The parts do not fit.
    """

    spec: InputSpec
    layout: Layout = "nchw"
    channels: Channels = "rgb"
    dtype: Dtype = "float32"
    sent: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("layout", self.layout, get_args(Layout)),
            ("channels", self.channels, get_args(Channels)),
            ("dtype", self.dtype, get_args(Dtype)),
        ):
            if value not in known:
                raise UsageError(f"{name}: expected {' or '.join(known)}, got {value!r}")
        shape = self.spec.shape
        if self.layout == "nhwc" and len(shape) != 3:
            raise UsageError(f"layout: expected an input C,H,W to lay out, got {shape}")
        if self.channels == "bgr" and (len(shape) != 3 or shape[0] != 3):
            raise UsageError(f"channels: expected an input of three channels, got {shape}")
        if self.dtype == "uint8" and self.spec.kind != "pixels":
            raise UsageError(
                "dtype: uint8 is for 8-bit images; leave out --bounds, or take float32"
            )
        if self.dtype == "uint8" and (self.spec.mean or self.spec.std):
            raise UsageError(
                "dtype: uint8 tensors are sent as they are; leave out --mean and --std, which the "
                "endpoint applies itself then, or take float32"
            )
        if self.sent is not None and math.prod(self.sent) != self.spec.size:
            raise UsageError(f"input size: expected {self.sent}, got {shape}; see --input-size")

    def tensors(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Returns inputs as they are sent.

        Args:
            inputs: Shape ``(N, *spec.shape)``; uint8 for pixels, float32 otherwise.

        Returns:
            float32 or uint8, shape ``(N, *sent)``.
        """
        if self.dtype == "uint8":
            values: NDArray[Any] = inputs
        else:
            values = self.spec.normalise(to_tensor(inputs, self.spec)).numpy()
        if self.channels == "bgr":
            values = values[:, ::-1]
        if self.layout == "nhwc":
            values = values.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(values).reshape(len(inputs), *(self.sent or values.shape[1:]))

    def pictures(self, inputs: NDArray[np.uint8], kind: Picture) -> list[bytes]:
        """Returns 8-bit images of shape ``(N, C, H, W)`` as picture files."""
        from PIL import Image

        mode = _MODES[self.spec.shape[0]]
        files = []
        for one in inputs:
            pixels = one[0] if mode == "L" else one.transpose(1, 2, 0)
            stream = io.BytesIO()
            picture = Image.fromarray(np.ascontiguousarray(pixels), mode)
            if kind == "PNG":
                picture.save(stream, "PNG")
            else:
                picture.save(stream, "JPEG", quality=_QUALITY, subsampling=0)
            files.append(stream.getvalue())
        return files

    def require_pictures(self) -> None:
        """Checks that inputs can be sent as picture files, which the endpoint reads for itself.

        Raises:
            UsageError: They are no pictures, or something is said of tensors.
        """
        spec = self.spec
        if spec.kind != "pixels" or spec.shape[0] not in _MODES:
            raise UsageError(
                f"input size: expected pictures of 1 or 3 channels, got {spec.kind} {spec.shape}"
            )
        if spec.mean or spec.std or self != Form(spec=spec):
            raise UsageError(
                "this adapter sends picture files, which the endpoint normalises itself; leave out "
                "--mean, --std, --layout, --channels and --dtype"
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "layout": self.layout,
            "channels": self.channels,
            "dtype": self.dtype,
            "shape": list(self.sent) if self.sent else None,
        }
