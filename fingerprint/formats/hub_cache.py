"""Finds its way in the cache of the Hugging Face hub, where files are links to blobs.

::

    models--google--vit-base/            the repository
        blobs/3f2a...                    the files, called after their digest
        snapshots/9c01.../model.safetensors -> ../../blobs/3f2a...
        refs/main                        the commit that "main" stood for
    blobs/3f/3f2a...                     files that repositories share, in caches of 2026 and later
"""

from __future__ import annotations

import os
import re

from fingerprint.errors import (
    EnvironmentFailure,
    FingerprintError,
    IncompatibleModel,
    MalformedFile,
    UnsafeFile,
)
from fingerprint.formats.file_bytes import read_file
from fingerprint.formats.naming import shown_path
from fingerprint.text import listed

__all__ = ["is_blob", "snapshot"]

_REPOSITORY = "models--"
_SHARED = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}")
_MAX_REF_BYTES = 256


def is_blob(folder: str, target: str) -> bool:
    """Whether a file is a blob of the repository that a folder is a snapshot of.

    Args:
        folder: Resolved path of a snapshot, or of a folder in one.
        target: Resolved path of what a link in it leads to.
    """
    repository = _repository_of(folder)
    if repository is None:
        return False
    if os.path.dirname(target) == os.path.join(repository, "blobs"):
        return True
    store = os.path.join(os.path.dirname(repository), "blobs", "")
    shared = target.removeprefix(store).replace(os.sep, "/")
    return target.startswith(store) and _SHARED.fullmatch(shared) is not None


def snapshot(path: str) -> str:
    """Returns the snapshot that a cached repository stands for; any other folder as it is.

    That is the one that ``main`` was last, or the only one.

    Raises:
        IncompatibleModel: There are several, and nothing says which is meant.
        MalformedFile: There is none.
        UnsafeFile: It is a link out of the repository.
        EnvironmentFailure: They may not be listed.
    """
    repository = os.path.realpath(path)
    kept = os.path.join(repository, "snapshots")
    if not os.path.basename(repository).startswith(_REPOSITORY) or not os.path.isdir(kept):
        return path
    try:
        names = sorted(os.listdir(kept))
    except OSError as error:
        raise EnvironmentFailure(
            f"{shown_path(kept)}: cannot be listed: {error.strerror}"
        ) from error
    current = _current(repository)
    if not names:
        raise MalformedFile(f"{shown_path(path)}: no snapshot in it; download the model again")
    if current not in names and len(names) > 1:
        raise IncompatibleModel(
            f"{shown_path(path)}: expected one snapshot of the model, found {listed(names)}; name "
            f"the one that is meant, such as {shown_path(os.path.join(kept, names[0]))}"
        )
    chosen = os.path.join(kept, current if current in names else names[0])
    if os.path.realpath(chosen) != chosen:
        raise UnsafeFile(
            f"{shown_path(chosen)}: expected a folder, got a symbolic link; name the folder itself"
        )
    return chosen


def _current(repository: str) -> str | None:
    """Returns the commit that ``main`` stands for; None where nothing says so."""
    try:
        ref = read_file(
            os.path.join(repository, "refs", "main"),
            max_bytes=_MAX_REF_BYTES,
            follow_symlink=False,
        )
    except FingerprintError:
        return None
    return ref.data.decode("ascii", errors="replace").strip()


def _repository_of(folder: str) -> str | None:
    """Returns the repository that a folder lies in a snapshot of."""
    inner = folder
    while (outer := os.path.dirname(inner)) != inner:
        if os.path.basename(outer) == "snapshots":
            repository = os.path.dirname(outer)
            named = os.path.basename(repository).startswith(_REPOSITORY)
            return repository if named else None
        inner = outer
    return None
