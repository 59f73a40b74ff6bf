"""Inputs from files: pictures for networks that see, ``.npy`` arrays for all others.

images = load_images(folder, spec)          # a folder as one array, for --data
inputs = read_inputs(paths, spec)           # files and folders, each with its name
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from fingerprint.errors import (
    EnvironmentFailure,
    FingerprintError,
    MalformedFile,
    UnsafeFile,
    UsageError,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.network.spec import InputSpec

__all__ = ["MAX_IMAGES", "MAX_PIXELS", "MAX_VALUES", "Inputs", "load_images", "read_inputs"]

MAX_IMAGES = 64
"""Most pictures read from a folder of bases, in the order of their names."""

MAX_PIXELS = 50_000_000
"""Most pixels one picture may declare; a small file can unfold to gigabytes."""

MAX_VALUES = 2**28
"""Most values of all inputs of one command together: 256 MiB of pixels."""

# Formats whose decoders neither run programs (EPS) nor open further files.
_FORMATS = {"BMP": {".bmp"}, "JPEG": {".jpg", ".jpeg"}, "PNG": {".png"}, "WEBP": {".webp"}}
_SUFFIXES = frozenset().union(*_FORMATS.values())
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """Inputs as they are sent, with where each came from.

    Attributes:
        names: File names without folder and suffix, all different.
        files: The files, as many as names; a ``.npy`` file may hold several inputs.
        values: Shape ``(N, *spec.shape)``; uint8 for pixels, float32 otherwise.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    values: NDArray[Any]


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
    _check_pictures("--data", spec)
    with _guarded_against_bombs():
        paths = _listed(folder, _SUFFIXES, "--data")[:MAX_IMAGES]
        return np.stack([_pixels(path, spec) for path in paths])


def read_inputs(paths: Sequence[Path], spec: InputSpec) -> Inputs:
    """Reads files, and the files of folders, as inputs of a model.

    Args:
        paths: Pictures or folders of them for a model that takes pixels; for any other model
            ``.npy`` files, each holding one input or a batch, or folders of them.
        spec: What the model takes.

    Raises:
        UsageError: A path does not exist, fits no input of the model, or there is none.
        UnsafeFile: A file is special, or there are more values than ``MAX_VALUES``.
        MalformedFile: A file cannot be decoded.
        EnvironmentFailure: A folder or a file cannot be read.
    """
    pictures = spec.kind == "pixels"
    if pictures:
        _check_pictures("images", spec)
    suffixes = _SUFFIXES if pictures else frozenset({".npy"})
    files = [
        file
        for path in paths
        for file in (_listed(path, suffixes, "inputs") if path.is_dir() else [path])
    ]
    if not files:
        raise UsageError("inputs: expected at least one file, got none")
    read = []
    room = MAX_VALUES // spec.size
    with _guarded_against_bombs():
        for file in files:
            batch = _pixels(file, spec)[None] if pictures else _array(file, spec)
            room -= len(batch)
            if room < 0:
                raise UnsafeFile(
                    f"inputs: expected at most {MAX_VALUES // spec.size} of shape {spec.shape}, "
                    "got more; give fewer at a time"
                )
            read.append((file, batch))
    origins = tuple(file for file, batch in read for _ in batch)
    return Inputs(
        names=_different([file.stem for file in origins]),
        files=origins,
        values=np.concatenate([batch for _, batch in read]),
    )


def _check_pictures(option: str, spec: InputSpec) -> None:
    if spec.kind != "pixels" or len(spec.shape) != 3 or spec.shape[0] not in _MODES:
        raise UsageError(
            f"{option}: expected a model of images with 1 or 3 channels, "
            f"got {spec.kind} input {spec.shape}"
        )


def _listed(folder: Path, suffixes: frozenset[str], option: str) -> list[Path]:
    """Returns the files of a folder with these suffixes, sorted; others are passed over."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    except NotADirectoryError as error:
        raise UsageError(
            f"{option}: expected a folder of pictures, got the file {folder}"
        ) from error
    except FileNotFoundError as error:
        raise UsageError(f"{option}: there is no folder {folder}") from error
    except OSError as error:
        raise EnvironmentFailure(f"{option}: cannot list {folder}: {error.strerror}") from error
    if not paths:
        raise UsageError(
            f"{option}: expected {', '.join(sorted(suffixes))} files in {folder}, got none"
        )
    return paths


def _pixels(path: Path, spec: InputSpec) -> NDArray[np.uint8]:
    """Reads one picture, cropped around its middle: uint8, shape ``(C, H, W)``."""
    channels, height, width = spec.shape
    with _reported(path, "picture"), Image.open(path, formats=tuple(_FORMATS)) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise UnsafeFile(
                f"{path}: expected at most {MAX_PIXELS} pixels, "
                f"got {picture.width} x {picture.height}; shrink it"
            )
        upright = _eight_bit(ImageOps.exif_transpose(picture)).convert(_MODES[channels])
        fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(fitted, dtype=np.uint8).reshape(height, width, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Returns 16-bit grey as 8-bit grey; convert() would cut it off at 255, which is white."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))


def _array(path: Path, spec: InputSpec) -> NDArray[np.float32]:
    """Reads one input or a batch of them from a ``.npy`` file: float32, ``(N, *shape)``."""
    with _reported(path, ".npy array"):
        # Mapped, so that a header that promises more than the file holds allocates nothing.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray) or mapped.dtype.kind not in "fiu":
            raise ValueError("not an array of numbers")
    shape = tuple(mapped.shape)
    if (shape != spec.shape and shape[1:] != spec.shape) or 0 in shape:
        raise UsageError(
            f"{path}: expected an array of shape {spec.shape}, or a batch of such, got {shape}"
        )
    if mapped.size > MAX_VALUES:
        raise UnsafeFile(f"{path}: expected at most {MAX_VALUES} values, got {mapped.size}")
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused below
        values = np.array(mapped, dtype=np.float32, order="C").reshape(-1, *spec.shape)
    low, high = spec.bounds
    # Also false for NaN. Bounds are float64, so the largest float32 below one may pass it.
    inside = (values >= np.float32(low)) & (values <= np.float32(high))
    if not inside.all():
        raise UsageError(f"{path}: expected finite values from {low:g} to {high:g}; see --bounds")
    return values


@contextmanager
def _reported(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever reading a file raises into one line that names it."""
    try:
        # A FIFO would block for ever, a device would never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnsafeFile(f"{path}: expected a regular file; leave it out")
        yield
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such file") from error
    except PermissionError as error:
        raise EnvironmentFailure(f"{path}: {error.strerror}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnsafeFile(f"{path}: {error}") from error
    except (FingerprintError, MemoryError):
        raise
    except Exception as error:
        # Decoders raise whatever their parsers do: numpy's, of a header, a TokenError.
        raise MalformedFile(f"{path}: not a readable {kind}; repair or remove it") from error


@contextmanager
def _guarded_against_bombs() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _different(stems: Sequence[str]) -> tuple[str, ...]:
    """Numbers the second and further inputs of one name: ``cat``, ``cat-2``."""
    taken: set[str] = set()
    names = []
    for stem in stems:
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        names.append(name)
    return tuple(names)
