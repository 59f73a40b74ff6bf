"""Names files that are code by what lies in their archive; nothing of it is run or unpacked.

program_kind("model.pt2")       # "pt2", "torchscript", or None for all others
"""

from __future__ import annotations

import mmap
import zipfile

from fingerprint.errors import FingerprintError
from fingerprint.formats.archive import PROGRAMS, check_directory, has_member
from fingerprint.formats.file_bytes import read_head

__all__ = ["KINDS", "program_kind"]

KINDS = {"torchscript": "a TorchScript archive", "pt2": "an exported program (.pt2)"}
"""What files that are code are called, by kind."""


def program_kind(path: str) -> str | None:
    """Returns the kind of a file that is code; None for every other, and where there is none."""
    if not read_head(path).startswith(b"PK"):
        return None
    try:
        with (
            open(path, "rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            check_directory(content, path)
            with zipfile.ZipFile(stream) as archive:
                names = archive.namelist()
    except (
        FingerprintError,
        zipfile.BadZipFile,
        ValueError,
        EOFError,
        OSError,
        NotImplementedError,
    ):
        return None  # whoever reads it is going to say what is wrong
    return next((kind for kind, marks in PROGRAMS.items() if has_member(names, marks)), None)
