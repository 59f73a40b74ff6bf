"""Files become inputs of a model, or a refusal that names the file."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli import images
from fingerprint.errors import EnvironmentFailure, MalformedFile, UnsafeFile, UsageError
from fingerprint.network.spec import InputSpec

RGB = InputSpec(shape=(3, 4, 6))
GREY = InputSpec(shape=(1, 4, 6))
WAVE = InputSpec(shape=(1, 5), kind="float", bounds=(-1.0, 1.0))


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


def test_files_and_folders_are_read_in_the_order_given_each_with_its_name(folder: Path) -> None:
    (folder / "more").mkdir()
    Image.new("RGB", (6, 4), (0, 255, 0)).save(folder / "more" / "c.bmp")
    found = images.read_inputs([folder / "more", folder / "b.JPG", folder / "a.png"], RGB)
    assert found.names == ("c", "b", "a")
    assert [file.name for file in found.files] == ["c.bmp", "b.JPG", "a.png"]
    assert found.values.shape == (3, 3, 4, 6)
    assert found.values.dtype == np.uint8
    assert found.values[:, :, 0, 0].argmax(axis=1).tolist() == [1, 2, 0]


def test_inputs_of_one_name_are_numbered(folder: Path, tmp_path: Path) -> None:
    (folder / "more").mkdir()
    for name in ("a.png", "a-2.png"):
        Image.new("RGB", (6, 4)).save(folder / "more" / name)
    found = images.read_inputs([folder / "a.png", folder / "more", folder / "a.png"], RGB)
    assert found.names == ("a", "a-2", "a-3", "a-4")


@pytest.mark.parametrize("spec", [RGB, WAVE], ids=["pixels", "float"])
def test_a_missing_file_an_empty_folder_or_no_path_is_a_usage_error(
    tmp_path: Path, spec: InputSpec
) -> None:
    (tmp_path / "empty").mkdir()
    for paths in ([tmp_path / "missing.npy"], [tmp_path / "empty"], []):
        with pytest.raises(UsageError):
            images.read_inputs(paths, spec)


@pytest.mark.parametrize(("spec", "suffix"), [(RGB, "png"), (WAVE, "npy")], ids=["png", "npy"])
def test_special_files_are_refused_as_inputs_too(
    tmp_path: Path, spec: InputSpec, suffix: str
) -> None:
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    for path in (tmp_path, tmp_path / f"pipe.{suffix}", Path("/dev/zero")):
        with pytest.raises(UnsafeFile, match="regular file"):
            images.read_inputs([path], spec)


def test_too_many_values_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_VALUES", 100)
    images.read_inputs([folder / "a.png"], RGB)
    with pytest.raises(UnsafeFile, match="fewer at a time"):
        images.read_inputs([folder / "a.png", folder / "b.JPG"], RGB)


def test_arrays_hold_one_input_or_a_batch(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (3, 1, 5))
    np.save(tmp_path / "many.npy", values)
    np.save(tmp_path / "one.npy", values[0])
    found = images.read_inputs([tmp_path / "many.npy", tmp_path / "one.npy"], WAVE)
    assert found.names == ("many", "many-2", "many-3", "one")
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values[:3], values.astype(np.float32))
    np.testing.assert_array_equal(found.values[3], found.values[0])


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.random.default_rng(0).uniform(-1, 1, (4, 1, 5))),
        np.random.default_rng(0).uniform(-1, 1, (4, 1, 5)).astype(">f4"),
        np.random.default_rng(0).uniform(-1, 1, (4, 1, 5)).astype(np.float16),
        np.ones((4, 1, 5), dtype=np.int64),
    ],
    ids=["fortran", "big endian", "float16", "int64"],
)
def test_arrays_of_any_number_type_and_order_are_converted(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "x.npy", array)
    values = images.read_inputs([tmp_path / "x.npy"], WAVE).values
    assert values.dtype == np.float32
    assert values.dtype.isnative
    assert values.flags.c_contiguous
    np.testing.assert_array_equal(values, np.ascontiguousarray(array).astype(np.float32))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5,)),
        np.zeros((5, 1)),
        np.zeros((2, 2, 1, 5)),
        np.zeros(()),
        np.full((1, 5), np.nan),
        np.full((1, 5), np.inf),
        np.full((1, 5), 1.01),
        np.full((1, 5), 1e300),
    ],
    ids=["short", "turned", "deep", "scalar", "nan", "infinite", "outside", "huge"],
)
def test_an_array_that_is_no_input_is_a_usage_error_that_names_it(
    tmp_path: Path, array: Any
) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(UsageError, match=r"x\.npy"):
        images.read_inputs([tmp_path / "x.npy"], WAVE)


def test_a_batch_of_no_inputs_is_a_usage_error(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((0, 1, 5)))
    with pytest.raises(UsageError, match=r"x\.npy.*\(0, 1, 5\)"):
        images.read_inputs([tmp_path / "x.npy"], WAVE)


@pytest.mark.parametrize(
    "array",
    [np.array([None, "x"], dtype=object), np.zeros((1, 5), dtype=complex), np.array(["a"] * 5)],
    ids=["objects", "complex", "text"],
)
def test_an_array_of_anything_but_numbers_is_refused(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(MalformedFile, match=r"x\.npy"):
        images.read_inputs([tmp_path / "x.npy"], WAVE)


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "a.npy", np.array([_Harmful()], dtype=object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(_Harmful()))
    with zipfile.ZipFile(tmp_path / "c.npy", "w") as archive:
        archive.write(tmp_path / "a.npy", "arr_0.npy")
    for name in ("a", "b", "c"):
        with pytest.raises(MalformedFile, match=rf"{name}\.npy"):
            images.read_inputs([tmp_path / f"{name}.npy"], WAVE)
    assert not (tmp_path / "unpickled").exists()


def _with_header(header: bytes, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"version https://git-lfs.github.com/spec/v1\n",
        _with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 5), }\n", b"\0" * 8),
        _with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 1, 5), }\n"),
        _with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1, 5), }\n"),
        _with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1e3, 5), }\n"),
        _with_header(b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (1, 5), }\n"),
        _with_header(b"__import__('os').mkdir('unpickled')\n"),
        _with_header(b"{" * 5000),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    ],
    ids=[
        "empty",
        "cut off",
        "pointer",
        "truncated",
        "terabytes",
        "negative",
        "fraction",
        "type",
        "code",
        "nested",
        "long header",
    ],
)
def test_a_header_that_lies_is_refused_by_name(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(MalformedFile, match=r"x\.npy"):
        images.read_inputs([tmp_path / "x.npy"], WAVE)
    assert not (tmp_path / "unpickled").exists()


def test_a_truncated_picture_given_by_itself_is_refused_by_name(folder: Path) -> None:
    whole = (folder / "b.JPG").read_bytes()
    (folder / "b.JPG").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MalformedFile, match=r"b\.JPG"):
        images.read_inputs([folder / "b.JPG"], RGB)


def test_a_picture_for_a_model_of_other_inputs_is_refused(folder: Path) -> None:
    with pytest.raises(MalformedFile, match=r"a\.png"):
        images.read_inputs([folder / "a.png"], WAVE)


def test_sixteen_bit_grey_is_scaled_and_not_cut_off_as_white(tmp_path: Path) -> None:
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(eight.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    spec = InputSpec(shape=(1, 16, 16))
    read = images.read_inputs([tmp_path / "deep.png"], spec).values
    np.testing.assert_array_equal(read[0, 0], eight)
