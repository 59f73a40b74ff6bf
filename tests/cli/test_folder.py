"""What a command writes is there whole or not at all, and replaces nothing unasked."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli.folder import OutFolder
from fingerprint.errors import EnvironmentFailure, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> OutFolder:
    return OutFolder(tmp_path / "deep" / "out")


def _files(folder: OutFolder) -> set[str]:
    return {path.name for path in folder.path.iterdir()}


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_keep_every_pixel(folder: OutFolder, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (channels, 4, 6), dtype=np.uint8)
    with Image.open(folder.picture("a", pixels)) as picture:
        back = np.asarray(picture).reshape(4, 6, channels).transpose(2, 0, 1)
    np.testing.assert_array_equal(back, pixels)
    assert _files(folder) == {"a.png"}


def test_signed_pictures_show_zero_as_grey_and_the_largest_value_as_black_or_white(
    folder: OutFolder,
) -> None:
    values = np.array([[[-4.0, 0.0, 2.0]]])
    path, scale = folder.signed_picture("a", values)
    assert scale == 4.0
    with Image.open(path) as picture:
        assert np.asarray(picture).tolist() == [[0, 128, 191]]


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e300])
def test_signed_pictures_of_extreme_values_are_drawn(folder: OutFolder, value: float) -> None:
    path, _ = folder.signed_picture("a", np.array([[[0.0, value]]]))
    with Image.open(path) as picture:
        assert np.asarray(picture).tolist() == [[128, 255 if value else 128]]


def test_arrays_come_back_as_they_were(folder: OutFolder) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_array_equal(np.load(folder.array("a", values), allow_pickle=False), values)


def test_texts_are_utf_8(folder: OutFolder) -> None:
    assert folder.text("a.txt", "ä\n").read_bytes() == b"\xc3\xa4\n"


def test_files_are_as_readable_as_any_new_file(folder: OutFolder) -> None:
    mode = folder.text("a.txt", "x").stat().st_mode
    plain = folder.path / "plain"
    plain.write_text("x")
    assert stat.S_IMODE(mode) == stat.S_IMODE(plain.stat().st_mode)


def test_what_is_there_is_replaced_only_by_force(folder: OutFolder) -> None:
    folder.text("a.txt", "old")
    with pytest.raises(UsageError, match="--force"):
        folder.text("a.txt", "new")
    assert (folder.path / "a.txt").read_text() == "old"
    assert OutFolder(folder.path, force=True).text("a.txt", "new").read_text() == "new"
    assert _files(folder) == {"a.txt"}


def test_what_is_there_can_be_refused_before_any_work(folder: OutFolder) -> None:
    folder.text("b.txt", "old")
    folder.check(["a.txt"])
    with pytest.raises(UsageError, match=r"b\.txt"):
        folder.check(iter(["a.txt", "b.txt"]))
    OutFolder(folder.path, force=True).check(["b.txt"])


def test_a_link_that_leads_nowhere_is_there_too(folder: OutFolder) -> None:
    (folder.path / "a.txt").symlink_to(folder.path / "missing")
    with pytest.raises(UsageError, match="--force"):
        folder.text("a.txt", "new")


def test_force_replaces_a_link_and_not_what_it_leads_to(folder: OutFolder, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    (folder.path / "a.txt").symlink_to(tmp_path / "precious")
    OutFolder(folder.path, force=True).text("a.txt", "new")
    assert (tmp_path / "precious").read_text() == "old"
    assert (folder.path / "a.txt").read_text() == "new"


def test_a_file_where_the_folder_should_be_is_an_environment_failure(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(EnvironmentFailure, match="--out"):
        OutFolder(tmp_path / "out")
    with pytest.raises(EnvironmentFailure, match="--out"):
        OutFolder(tmp_path / "out" / "deeper")


def test_a_folder_in_place_of_a_file_is_an_environment_failure(folder: OutFolder) -> None:
    (folder.path / "a.txt").mkdir()
    with pytest.raises(EnvironmentFailure, match=r"a\.txt"):
        OutFolder(folder.path, force=True).text("a.txt", "new")
    assert _files(folder) == {"a.txt"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written_to_is_an_environment_failure(folder: OutFolder) -> None:
    folder.path.chmod(0o500)
    with pytest.raises(EnvironmentFailure):
        folder.text("a.txt", "new")
    folder.path.chmod(0o700)


def test_a_name_too_long_for_the_disk_is_an_environment_failure(folder: OutFolder) -> None:
    with pytest.raises(EnvironmentFailure, match="long"):
        folder.text("a" * 300, "x")
    assert _files(folder) == set()


@pytest.mark.parametrize("kind", ["picture", "array", "text"])
def test_a_full_disk_leaves_no_file_behind(
    folder: OutFolder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    monkeypatch.setattr(np, "save", full)
    monkeypatch.setattr(Path, "replace", full)
    write = {
        "picture": lambda: folder.picture("a", np.zeros((1, 2, 2), dtype=np.uint8)),
        "array": lambda: folder.array("a", np.zeros(2)),
        "text": lambda: folder.text("a.txt", "x"),
    }
    with pytest.raises(EnvironmentFailure, match="No space left"):
        write[kind]()
    assert _files(folder) == set()


def test_an_interrupt_leaves_no_file_behind(
    folder: OutFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.array("a", np.zeros(2))
    assert _files(folder) == set()


def test_an_input_is_not_replaced_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    folder = OutFolder(tmp_path / "link", force=True)
    folder.check(["dog.png"], [tmp_path / "cat.png"])
    with pytest.raises(UsageError, match="would replace the image it is made of"):
        folder.check(["dog.png", "cat.png"], [tmp_path / "cat.png"])
