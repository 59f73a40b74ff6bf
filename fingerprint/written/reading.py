"""One file of answers, from its bytes to what they say."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from fingerprint.errors import EnvironmentFailure, InputRefused, MalformedFile
from fingerprint.formats.file_bytes import read_file
from fingerprint.text import clean
from fingerprint.written.documents import entries_of_json
from fingerprint.written.kinds import Written, written_of
from fingerprint.written.layout import entries_of_table
from fingerprint.written.table import decoded

__all__ = ["MAX_BYTES", "read_written"]

MAX_BYTES = 2**26
"""Largest file of answers."""


def read_written(
    path: Path, pictures: Collection[str], *, classes: Sequence[int] = ()
) -> tuple[Written, str]:
    """Reads answers to pictures.

    Args:
        path: A table as text (CSV and what spreadsheets make of it), or JSON.
        pictures: Names of the pictures that it may answer; it may answer no other.
        classes: Numbers of classes of the models it may be about.

    Returns:
        The answers, and the SHA-256 of the file.

    Raises:
        UsageError: There is no such file.
        EnvironmentFailure: It cannot be read, or holds no answer.
        UnsafeFile: It is too large, or no regular file.
        MalformedFile: It is no text, speaks of other pictures, or cannot be understood.
    """
    content = read_file(str(path), max_bytes=MAX_BYTES)
    try:
        text = decoded(content.data)
        notes: list[str] = []
        if text.lstrip()[:1] in ("{", "["):
            entries = entries_of_json(text, pictures)
        else:
            entries, notes = entries_of_table(text, pictures)
        return written_of(entries, classes=classes, notes=notes), content.sha256
    except RecursionError as error:
        raise MalformedFile(f"{clean(path)}: it is nested too deeply") from error
    except (InputRefused, EnvironmentFailure) as error:
        raise type(error)(f"{clean(path)}: {error}") from error
