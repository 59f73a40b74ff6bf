"""Reads a file once: the bytes that are hashed are the very bytes that are parsed.

    content = read_file("model.safetensors")
    content.sha256, content.data

Only regular files are read. The file is opened once, without blocking, checked on the open
descriptor and read into memory, so nobody can swap it between the digest and the parser.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass

from fingerprint.errors import (
    EnvironmentFailure,
    FingerprintError,
    MalformedFile,
    UnsafeFile,
    UsageError,
)
from fingerprint.formats.naming import shown_path

__all__ = ["MAX_FILE_BYTES", "FileBytes", "FileFacts", "open_regular", "read_file", "read_head"]

MAX_FILE_BYTES = 16 * 2**30
"""Largest weights file that is read into memory."""

_CHUNK = 2**30
_LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, kw_only=True, eq=False)
class FileBytes:
    """The whole content of one regular file.

    Attributes:
        path: Absolute path, as it was opened.
        data: Its bytes.
        sha256: Their digest in hex.
    """

    path: str
    data: bytes
    sha256: str


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """The file a model was read from.

    Attributes:
        path: Absolute path, of several shards that of their index.
        sha256: Digest of the very bytes that were loaded, in hex; of several shards that of their
            digests, see :mod:`fingerprint.formats.shards`.
        size: Bytes, of all shards together.
        format: ``safetensors``, ``torch``, ``onnx``, or one of
            :data:`fingerprint.formats.program_file.KINDS`.
    """

    path: str
    sha256: str
    size: int
    format: str


def read_file(
    path: str, *, max_bytes: int = MAX_FILE_BYTES, follow_symlink: bool = True
) -> FileBytes:
    """Reads one regular file into memory.

    Args:
        path: The file.
        max_bytes: Larger files are refused before they are read.
        follow_symlink: Whether the last component may be a symbolic link.

    Raises:
        UsageError: There is no such file.
        EnvironmentFailure: It may not be read, or the disk fails.
        UnsafeFile: It is not a regular file, is too large, or changed while it was read.
        MalformedFile: It is empty or a git-lfs pointer.
    """
    absolute = os.path.abspath(path)
    descriptor = _open(absolute, follow_symlink=follow_symlink)
    try:
        before = os.fstat(descriptor)
        _require_regular(absolute, before)
        if before.st_size > max_bytes:
            raise UnsafeFile(
                f"{shown_path(absolute)}: expected at most {max_bytes} bytes, got {before.st_size}"
            )
        data, sha256 = _read(descriptor, before.st_size)
        after = os.fstat(descriptor)
    except OSError as error:
        raise EnvironmentFailure(
            f"{shown_path(absolute)}: cannot be read: {error.strerror}"
        ) from error
    finally:
        os.close(descriptor)
    if len(data) != before.st_size or _version(before) != _version(after):
        raise UnsafeFile(
            f"{shown_path(absolute)}: changed while it was being read; try again when it is still"
        )
    _require_content(absolute, data)
    return FileBytes(path=absolute, data=data, sha256=sha256)


def read_head(path: str, size: int = 1024) -> bytes:
    """Returns the beginning of a regular file; nothing where there is none to read.

    Why there is none is for :func:`read_file` to say.
    """
    try:
        descriptor = _open(os.path.abspath(path), follow_symlink=True)
    except (FingerprintError, ValueError):
        return b""
    try:
        return os.read(descriptor, size) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def open_regular(path: str) -> int:
    """Opens a regular file and returns its descriptor, to be closed by the caller.

    Raises:
        UsageError: There is no such file.
        EnvironmentFailure: It may not be read.
        UnsafeFile: It is not a regular file.
    """
    descriptor = _open(path, follow_symlink=True)
    try:
        _require_regular(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open(path: str, *, follow_symlink: bool) -> int:
    """Opens without waiting for a writer (a FIFO would block for ever)."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
    if not follow_symlink:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{shown_path(path)}: no such file") from error
    except PermissionError as error:
        raise EnvironmentFailure(
            f"{shown_path(path)}: permission denied; make the file readable"
        ) from error
    except ValueError as error:
        raise UsageError("path: expected a file name, got one with a null character") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeFile(
                f"{shown_path(path)}: expected a regular file, got a symbolic link loop"
            ) from error
        if error.errno in (errno.ENXIO, errno.ENODEV, getattr(errno, "EOPNOTSUPP", -1)):
            raise UnsafeFile(
                f"{shown_path(path)}: expected a regular file, got a socket or device"
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError("path: the file name is too long") from error
        raise EnvironmentFailure(
            f"{shown_path(path)}: cannot be opened: {error.strerror}"
        ) from error


def _require_regular(path: str, facts: os.stat_result) -> None:
    mode = facts.st_mode
    if stat.S_ISREG(mode):
        return
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
    )
    kind = next((name for test, name in kinds if test(mode)), "a special file")
    raise UnsafeFile(f"{shown_path(path)}: expected a regular file, got {kind}")


def _read(descriptor: int, size: int) -> tuple[bytes, str]:
    """Reads up to ``size`` bytes, hashing them as they come."""
    chunks: list[bytes] = []
    digest = hashlib.sha256()
    left = size
    while left:
        chunk = os.read(descriptor, min(left, _CHUNK))
        if not chunk:
            break
        digest.update(chunk)
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks), digest.hexdigest()


def _version(facts: os.stat_result) -> tuple[int, int, int, int]:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _require_content(path: str, data: bytes) -> None:
    if not data:
        raise MalformedFile(
            f"{shown_path(path)}: the file is empty (zero bytes); download it again"
        )
    if data.startswith(_LFS):
        raise MalformedFile(
            f"{shown_path(path)}: a git-lfs pointer, not the weights; run git lfs pull"
        )
