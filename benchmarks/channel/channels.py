"""What services do to a picture before their model sees it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["CHANNELS", "EATS"]

Pixels = NDArray[np.uint8]
_BILINEAR, _BOX = Image.Resampling.BILINEAR, Image.Resampling.BOX


def _each(change: Callable[[Image.Image], Image.Image]) -> Callable[[Pixels], Pixels]:
    """Returns what changes pictures ``(N, 3, H, W)`` one by one."""

    def changed(pictures: Pixels) -> Pixels:
        rows = [np.asarray(change(Image.fromarray(one.transpose(1, 2, 0)))) for one in pictures]
        return np.ascontiguousarray(np.stack(rows).transpose(0, 3, 1, 2))

    return changed


def _jpeg(quality: int, subsampling: int = 2) -> Callable[[Pixels], Pixels]:
    def change(picture: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality, subsampling=subsampling)
        return Image.open(stream).convert("RGB")

    return _each(change)


def _through(share: float) -> Callable[[Pixels], Pixels]:
    """Resizes to a share of the side and back."""

    def change(picture: Image.Image) -> Image.Image:
        side = round(picture.width * share)
        return picture.resize((side, side), _BILINEAR).resize(picture.size, _BILINEAR)

    return _each(change)


def _enlarged_and_cropped(picture: Image.Image) -> Image.Image:
    """Keeps the middle 0.875, enlarged to the whole."""
    cut = round(picture.width / 16)
    box = (cut, cut, picture.width - cut, picture.height - cut)
    return picture.crop(box).resize(picture.size, _BILINEAR)


def _subsampled(picture: Image.Image) -> Image.Image:
    """Halves the resolution of both chroma values, and nothing else."""
    luma, *chroma = picture.convert("YCbCr").split()
    half = (picture.width // 2, picture.height // 2)
    halved = [one.resize(half, _BOX).resize(picture.size, _BILINEAR) for one in chroma]
    return Image.merge("YCbCr", (luma, *halved)).convert("RGB")


def _rounded(pictures: Pixels) -> Pixels:
    """Scales to [0, 1] in half precision and back: what rounding of floats leaves of a pixel."""
    scaled = (pictures / np.float32(255)).astype(np.float16)
    return np.round(scaled.astype(np.float32) * 255).astype(np.uint8)


CHANNELS: Mapping[str, Callable[[Pixels], Pixels]] = {
    "none": lambda pictures: pictures,
    "float16": _rounded,
    "JPEG 95": _jpeg(95),
    "JPEG 95, 4:4:4": _jpeg(95, 0),
    "JPEG 90": _jpeg(90),
    "JPEG 75": _jpeg(75),
    "chroma 4:2:0": _each(_subsampled),
    "grey": _each(lambda picture: picture.convert("L").convert("RGB")),
    "BGR": lambda pictures: np.ascontiguousarray(pictures[:, ::-1]),
    "centre crop 0.875": _each(_enlarged_and_cropped),
    "resized to 8/7 and back": _through(8 / 7),
    "resized to 25/28 and back": _through(25 / 28),
    "resized to 3/4 and back": _through(3 / 4),
    "resized to 1/2 and back": _through(1 / 2),
    "blurred by 0.7": _each(lambda picture: picture.filter(ImageFilter.GaussianBlur(0.7))),
}
"""By name; 224 pixels become 256, 200, 168 and 112, 32 become 37, 29, 24 and 16."""

EATS: Mapping[str, frozenset[str]] = {
    "JPEG 95": frozenset({"faint", "chroma"}),
    "JPEG 95, 4:4:4": frozenset({"faint"}),
    "JPEG 90": frozenset({"faint", "chroma"}),
    "JPEG 75": frozenset({"faint", "chroma"}),
    "chroma 4:2:0": frozenset({"chroma"}),
    "grey": frozenset({"colour", "chroma"}),
    "centre crop 0.875": frozenset({"border"}),
    "resized to 3/4 and back": frozenset({"fine", "chroma"}),
    "resized to 1/2 and back": frozenset({"fine", "chroma"}),
    "blurred by 0.7": frozenset({"fine", "chroma"}),
}
"""What may be named as lost behind each; behind the others, nothing."""
