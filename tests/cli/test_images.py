"""A folder of pictures becomes pixels at the input size, or a refusal that names the file."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli import images
from fingerprint.errors import EnvironmentFailure, MalformedFile, UnsafeFile, UsageError
from fingerprint.models.spec import InputSpec

RGB = InputSpec(shape=(3, 4, 6))
GREY = InputSpec(shape=(1, 4, 6))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A red PNG, a blue JPEG, and a file that is no picture."""
    Image.new("RGB", (12, 8), (255, 0, 0)).save(tmp_path / "a.png")
    Image.new("RGB", (20, 20), (0, 0, 255)).save(tmp_path / "b.JPG", quality=100)
    (tmp_path / "notes.txt").write_text("hello")
    return tmp_path


def test_pictures_are_read_in_the_order_of_their_names_as_channels_first_bytes(
    folder: Path,
) -> None:
    loaded = images.load_images(folder, RGB)
    assert loaded.dtype == np.uint8
    assert loaded.shape == (2, 3, 4, 6)
    assert (loaded[0] == np.array([255, 0, 0])[:, None, None]).all()
    assert loaded[1, 2].min() > 250


def test_grey_models_get_one_channel(folder: Path) -> None:
    assert images.load_images(folder, GREY).shape == (2, 1, 4, 6)


def test_a_picture_of_the_right_size_keeps_every_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    np.testing.assert_array_equal(images.load_images(tmp_path, RGB)[0], pixels.transpose(2, 0, 1))


def test_transparency_and_palettes_are_converted(tmp_path: Path) -> None:
    Image.new("RGBA", (6, 4), (10, 20, 30, 0)).save(tmp_path / "a.png")
    Image.new("P", (6, 4)).save(tmp_path / "b.png")
    assert images.load_images(tmp_path, RGB).shape == (2, 3, 4, 6)


def test_only_so_many_pictures_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_IMAGES", 2)
    for index in range(4):
        Image.new("L", (6, 4), index).save(tmp_path / f"{index}.png")
    np.testing.assert_array_equal(images.load_images(tmp_path, GREY)[:, 0, 0, 0], [0, 1])


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe", b"GIF89a"])
def test_what_is_no_picture_of_an_allowed_format_is_refused_by_name(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(MalformedFile, match=r"bad\.png"):
        images.load_images(tmp_path, RGB)


def test_a_truncated_picture_is_refused_by_name(folder: Path) -> None:
    whole = (folder / "b.JPG").read_bytes()
    (folder / "b.JPG").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MalformedFile, match=r"b\.JPG"):
        images.load_images(folder, RGB)


@pytest.mark.parametrize("side", [10_000, 60_000], ids=["large", "bomb"])
def test_a_picture_that_declares_too_many_pixels_is_refused_unread(
    tmp_path: Path, side: int
) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    with pytest.raises(UnsafeFile, match=r"bomb\.png"):
        images.load_images(tmp_path, RGB)


def test_a_fifo_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnsafeFile, match=r"pipe\.png"):
        images.load_images(tmp_path, RGB)


def test_a_folder_without_pictures_a_file_or_nothing_is_a_usage_error(folder: Path) -> None:
    (folder / "empty").mkdir()
    for path in (folder / "empty", folder / "a.png", folder / "missing"):
        with pytest.raises(UsageError, match="--data"):
            images.load_images(path, RGB)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_an_unreadable_picture_is_an_environment_failure(folder: Path) -> None:
    (folder / "a.png").chmod(0)
    with pytest.raises(EnvironmentFailure, match=r"a\.png"):
        images.load_images(folder, RGB)


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(shape=(2, 4, 6)),
        InputSpec(shape=(24,)),
        InputSpec(shape=(3, 4, 6), kind="float", bounds=(-1, 1)),
    ],
    ids=["channels", "flat", "float"],
)
def test_a_model_that_takes_no_pictures_is_a_usage_error(folder: Path, spec: InputSpec) -> None:
    with pytest.raises(UsageError, match="1 or 3 channels"):
        images.load_images(folder, spec)
