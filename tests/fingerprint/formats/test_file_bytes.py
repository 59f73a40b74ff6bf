from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from fingerprint.errors import EnvironmentFailure, MalformedFile, UnsafeFile, UsageError
from fingerprint.formats import file_bytes
from fingerprint.formats.file_bytes import read_file


def test_content_and_digest_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc" * 1000)
    content = read_file(str(path))
    assert content.data == b"abc" * 1000
    assert content.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_file(str(tmp_path / "nothing"))


def test_null_character_in_a_path_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="null character"):
        read_file("a\0b")


def test_too_long_path_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too long"):
        read_file(str(tmp_path / ("a" * 5000)))


def test_empty_file_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "empty.pt"
    path.touch()
    with pytest.raises(MalformedFile, match="empty"):
        read_file(str(path))


def test_lfs_pointer_says_git_lfs_pull(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    with pytest.raises(MalformedFile, match="run git lfs pull"):
        read_file(str(path))


def test_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile, match="directory"):
        read_file(str(tmp_path))


@pytest.mark.timeout(10)
def test_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "pipe.pt"
    os.mkfifo(path)
    with pytest.raises(UnsafeFile, match="FIFO"):
        read_file(str(path))


def test_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # socket paths are limited to about 100 characters
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.pt")
        with pytest.raises(UnsafeFile, match="socket"):
            read_file("socket.pt")


def test_device_is_refused() -> None:
    with pytest.raises(UnsafeFile, match="character device"):
        read_file("/dev/zero")


def test_symlink_loop_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(UnsafeFile, match="loop"):
        read_file(str(tmp_path / "a"))


def test_permission_error_is_an_environment_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")

    def deny(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(file_bytes.os, "open", deny)
    with pytest.raises(EnvironmentFailure, match="permission denied"):
        read_file(str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_an_environment_failure(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    path.chmod(0)
    with pytest.raises(EnvironmentFailure, match="permission denied"):
        read_file(str(path))


def test_file_above_the_cap_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.pt"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: takes no disk
    with pytest.raises(UnsafeFile, match="at most"):
        read_file(str(path))


def test_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"a" * 100)
    read = os.read

    def read_then_rewrite(descriptor: int, size: int) -> bytes:
        chunk = read(descriptor, size)
        path.write_bytes(b"b" * 101)
        return chunk

    monkeypatch.setattr(file_bytes.os, "read", read_then_rewrite)
    with pytest.raises(UnsafeFile, match="changed while"):
        read_file(str(path))


def test_replacing_the_path_after_opening_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "weights", tmp_path / "other"
    path.write_bytes(b"honest")
    other.write_bytes(b"swapped in")
    opened = os.open

    def open_then_swap(*args: object, **kwargs: object) -> int:
        descriptor = opened(*args, **kwargs)  # type: ignore[arg-type]
        os.replace(other, path)
        return descriptor

    monkeypatch.setattr(file_bytes.os, "open", open_then_swap)
    content = read_file(str(path))
    assert content.data == b"honest"
    assert content.sha256 == hashlib.sha256(b"honest").hexdigest()


def test_a_hostile_file_name_stays_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "evil\n\x1b[31mname.pt"
    path.touch()
    with pytest.raises(MalformedFile) as caught:
        read_file(str(path))
    assert str(caught.value).isprintable()
