"""Finds the files of registered models again, on another machine or after they were moved.

A registry says where each file lay. What makes a file the same one is its SHA-256, so files are
searched for by it: those of the same name first, by how much of the way to them is the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from fingerprint.errors import FingerprintError, UsageError
from fingerprint.progress import Progress, silent
from fingerprint.text import clean
from registry.values import RegisteredModel, Relocated

__all__ = ["search"]


def search(
    models: Sequence[RegisteredModel], folder: Path, progress: Progress = silent
) -> Relocated:
    """Searches a folder for the files of models that are not where they were.

    Args:
        models: The models; those that never were a file here are left out.
        folder: Where to search, with all that is below; links to folders are not followed.
        progress: Told how many were looked for.

    Raises:
        UsageError: There is no such folder.
    """
    from fingerprint.formats.file_digest import file_digest

    if not folder.is_dir():
        raise UsageError(f"{clean(folder)}: expected a folder to search, found none")
    known = {one.name: one for one in models if one.file_path is not None}
    there = tuple(name for name, one in known.items() if os.path.exists(str(one.file_path)))
    lost = [one for name, one in known.items() if name not in there]
    files = _below(folder) if lost else []

    @cache
    def digest(path: str) -> str | None:
        try:
            return file_digest(path)
        except FingerprintError:
            return None  # Not readable, no regular file, or shards of which one is missing.

    moved: dict[str, str] = {}
    for number, model in enumerate(lost):
        progress("searching for files", number, len(lost))
        path = _same(model, files, digest)
        if path is not None:
            moved[model.name] = path
    missing = tuple(one.name for one in lost if one.name not in moved)
    return Relocated(moved=moved, there=there, missing=missing)


def _same(
    model: RegisteredModel, files: Iterable[str], digest: Callable[[str], str | None]
) -> str | None:
    """Returns the file that has a model's digest; one that is called otherwise comes last."""
    old = str(model.file_path)
    kind = os.path.splitext(old)[1]
    alike = [path for path in files if os.path.splitext(path)[1] == kind]
    alike.sort(key=lambda path: -_shared(path, old))
    return next((path for path in alike if digest(path) == model.file_sha256), None)


def _shared(path: str, other: str) -> int:
    """Returns how many parts two paths have in common, from their ends."""
    pairs = zip(reversed(Path(path).parts), reversed(Path(other).parts), strict=False)
    count = 0
    for one, two in pairs:
        if one != two:
            break
        count += 1
    return count


def _below(folder: Path) -> list[str]:
    """Returns every file in a folder and below that a registry can name, in a fixed order."""
    found = []
    for place, folders, names in os.walk(os.path.abspath(folder)):
        folders.sort()
        found += [os.path.join(place, name) for name in sorted(names)]
    return [path for path in found if _is_text(path)]


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
