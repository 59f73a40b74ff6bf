"""Natural images as bases of probes: a folder of pictures becomes one array of 8-bit pixels."""

from __future__ import annotations

import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fingerprint.errors import EnvironmentFailure, MalformedFile, UnsafeFile, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.models.spec import InputSpec

__all__ = ["MAX_IMAGES", "MAX_PIXELS", "load_images"]

MAX_IMAGES = 64
"""Most pictures read from a folder, in the order of their names."""

MAX_PIXELS = 50_000_000
"""Most pixels one picture may declare; a small file can unfold to gigabytes."""

# Formats whose decoders neither run programs (EPS) nor open further files.
_FORMATS = {"BMP": {".bmp"}, "JPEG": {".jpg", ".jpeg"}, "PNG": {".png"}, "WEBP": {".webp"}}
_SUFFIXES = frozenset().union(*_FORMATS.values())
_MODES = {1: "L", 3: "RGB"}


def _pictures(folder: Path) -> list[Path]:
    """Returns the first pictures of a folder; other files in it are passed over."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    except NotADirectoryError as error:
        raise UsageError(f"--data: expected a folder of pictures, got the file {folder}") from error
    except FileNotFoundError as error:
        raise UsageError(f"--data: there is no folder {folder}") from error
    except OSError as error:
        raise EnvironmentFailure(f"--data: cannot list {folder}: {error.strerror}") from error
    if not paths:
        raise UsageError(
            f"--data: expected {', '.join(sorted(_SUFFIXES))} files in {folder}, got none"
        )
    return paths[:MAX_IMAGES]


def _pixels(path: Path, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Reads one picture, cropped around its middle: uint8, shape ``(H, W)`` or ``(H, W, C)``."""
    try:
        # A FIFO would block for ever, a device would never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnsafeFile(f"{path}: expected a regular file; leave it out of --data")
        with Image.open(path, formats=tuple(_FORMATS)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UnsafeFile(
                    f"{path}: expected at most {MAX_PIXELS} pixels, "
                    f"got {picture.width} x {picture.height}; shrink it"
                )
            upright = ImageOps.exif_transpose(picture).convert(mode)
            fitted = ImageOps.fit(upright, size, Image.Resampling.BILINEAR)
            return np.asarray(fitted, dtype=np.uint8)
    except PermissionError as error:
        raise EnvironmentFailure(f"{path}: {error.strerror}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnsafeFile(f"{path}: {error}") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise MalformedFile(f"{path}: not a readable picture; repair or remove it") from error


def load_images(folder: Path, spec: InputSpec) -> NDArray[np.uint8]:
    """Loads the pictures of a folder at the input size of a model.

    Args:
        folder: Holds .png, .jpg, .webp or .bmp files; at most ``MAX_IMAGES`` are read, in the
            order of their names.
        spec: Input of the model; pixels with one or three channels.

    Returns:
        uint8, shape ``(N, C, H, W)``.

    Raises:
        UsageError: The model does not take such pictures, or there are none.
        UnsafeFile: A picture is a special file or too large.
        MalformedFile: A picture cannot be decoded.
        EnvironmentFailure: The folder or a file cannot be read.
    """
    if spec.kind != "pixels" or len(spec.shape) != 3 or spec.shape[0] not in _MODES:
        raise UsageError(
            "--data: expected a model of images with 1 or 3 channels, "
            f"got {spec.kind} input {spec.shape}"
        )
    channels, height, width = spec.shape
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        images = [_pixels(path, _MODES[channels], (width, height)) for path in _pictures(folder)]
    stacked = np.stack(images).reshape(len(images), height, width, channels)
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))
