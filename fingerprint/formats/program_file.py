"""Names files that others run, and those that are code; nothing of them is run or unpacked.

program_kind("model.pt2")       # "pt2", "torchscript", "tflite" ..., or None for all others
"""

from __future__ import annotations

import mmap
import zipfile

from fingerprint.errors import FingerprintError
from fingerprint.formats.archive import PROGRAMS, check_directory, has_member
from fingerprint.formats.file_bytes import read_head
from fingerprint.formats.foreign import HDF5, OPENVINO, TFLITE, foreign_kind

__all__ = ["KINDS", "program_kind"]

KINDS = {
    "torchscript": "a TorchScript archive",
    "pt2": "an exported program (.pt2)",
    "keras": "a Keras network (.keras)",
    "keras-h5": "a Keras network (.h5)",
    "tflite": "a TensorFlow Lite network",
    "openvino": "an OpenVINO network",
}
"""What such files are called, by kind."""

_BY_CONTENT = {HDF5: "keras-h5", TFLITE: "tflite", OPENVINO: "openvino"}


def program_kind(path: str) -> str | None:
    """Returns the kind of such a file; None for every other, and where there is none."""
    head = read_head(path)
    if not head.startswith(b"PK"):
        return _BY_CONTENT.get(foreign_kind(head) or "")
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
