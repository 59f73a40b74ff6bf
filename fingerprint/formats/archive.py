"""Checks a zip archive and says whether it is a torch checkpoint.

Nothing is ever unpacked to disk, so where members' names point does not matter; only those that
``torch.save`` writes are let through. Sizes are checked as declared in the archive's directory;
the reader that follows allocates what is declared and no more.
"""

from __future__ import annotations

import io
import mmap
import re
import zipfile

from fingerprint.errors import MalformedFile, UnsafeFile
from fingerprint.text import clean, listed

__all__ = ["PROGRAMS", "check_directory", "check_torch_archive", "has_member"]

MAX_DIRECTORY_BYTES = 2**24
MAX_EXPANSION = 4
"""Declared content may be this many times the file; torch itself stores without compression."""

_SLACK = 2**20
_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
_LOCATOR_64 = b"PK\x06\x07"
_MEMBER = re.compile(
    r"data\.pkl|data/[^/]+|version|byteorder|\.format_version|\.storage_alignment|\.data/[^/]+"
)
PROGRAMS = {
    "torchscript": ("code/", "constants.pkl", "bytecode.pkl"),
    "pt2": ("archive_format", "models/", "data/weights/", "data/aotinductor/",
            "serialized_exported_"),
    "keras": ("model.weights.",),
}  # fmt: skip
"""How names of members begin in the archives that are code."""

_ASKED = "'fp verify' asks it in a sandbox, and where you trust it, save its weights: "
_FOREIGN = (
    (PROGRAMS["torchscript"],
     f"a TorchScript archive, which holds code; {_ASKED}"
     "torch.save(torch.jit.load(path).state_dict(), out)"),
    (PROGRAMS["pt2"],
     f"an exported program (.pt2), which holds code; {_ASKED}"
     "torch.save(torch.export.load(path).state_dict, out)"),
    (PROGRAMS["keras"],
     "a Keras network, whose layers torch does not have; 'fp verify' asks it in a sandbox"),
    (("metadata.json", "saved_model.pb", "keras_metadata.pb"),
     "a TensorFlow or Keras archive, whose layers torch does not have"),
    (("Manifest.json", "com.apple.CoreML", "Data/com.apple.CoreML"), "a Core ML package"),
    (("MAR-INF/",), "a TorchServe archive; unpack it and name the weights file in it"),
    (("META-INF/", "[Content_Types].xml"), "a Java archive or an office document"),
)  # fmt: skip


def check_torch_archive(data: bytes, path: str) -> dict[str, int]:
    """Checks that a zip file is a torch checkpoint of plain data with honest sizes.

    Args:
        data: The whole file.
        path: Its name, for messages.

    Returns:
        Declared size of each member, by its name inside the checkpoint's folder.

    Raises:
        UnsafeFile: It expands too much, has unsafe member names, or holds code.
        MalformedFile: It is truncated, or not a torch checkpoint.
    """
    check_directory(data, path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError) as error:
        raise MalformedFile(f"{path}: truncated or corrupt zip archive") from error
    for member in members:
        _check_member(member, path)
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise MalformedFile(f"{path}: the archive has two members of one name")
    declared = sum(member.file_size for member in members)
    if declared > MAX_EXPANSION * len(data) + _SLACK:
        raise UnsafeFile(
            f"{path}: {len(data)} bytes claim to expand to {declared}; "
            f"expected at most {MAX_EXPANSION} times (torch.save does not compress)"
        )
    inner = _check_layout(names, path)
    return {name: member.file_size for name, member in zip(inner, members, strict=True)}


def has_member(names: list[str], marks: tuple[str, ...]) -> bool:
    """Says whether a member's name begins with one of some marks, inside the folder or not."""
    return any(name.startswith(marks) for name in (*_bare(names)[1], *names))


def _bare(names: list[str]) -> tuple[str, list[str]]:
    """Returns the archive's folder, and its members' names inside that."""
    root = names[0].split("/")[0] + "/" if names else ""
    return root, [name.removeprefix(root) for name in names]


def check_directory(data: bytes | mmap.mmap, path: str) -> None:
    """Bounds the archive's table of contents before it is parsed into objects.

    Args:
        data: The whole file.
        path: Its name, for messages.

    Raises:
        UnsafeFile: The table is too large.
        MalformedFile: There is none.
    """
    end = len(data) - 22
    if end < 0 or data[end : end + 4] != _END:
        raise MalformedFile(f"{path}: truncated: the zip archive has no end; download it again")
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    if data[end - 20 : end - 16] == _LOCATOR_64:
        record = int.from_bytes(data[end - 12 : end - 4], "little")
        if data[record : record + 4] != _END_64:
            raise MalformedFile(f"{path}: corrupt zip archive (no zip64 record)")
        size = int.from_bytes(data[record + 40 : record + 48], "little")
    if size > min(MAX_DIRECTORY_BYTES, len(data)):
        raise UnsafeFile(f"{path}: the zip archive's table of contents claims {size} bytes")


def _check_member(member: zipfile.ZipInfo, path: str) -> None:
    name = clean(member.filename)
    if member.flag_bits & 0x1:
        raise MalformedFile(f"{path}: member '{name}' is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MalformedFile(f"{path}: member '{name}' has an unknown compression")


def _check_layout(names: list[str], path: str) -> list[str]:
    """Checks that the members are those that ``torch.save`` writes; returns their bare names."""
    root, inner = _bare(names)
    for marks, kind in _FOREIGN:
        if has_member(names, marks):
            raise UnsafeFile(f"{path}: {kind}")
    if names and all(name.endswith(".npy") for name in names):
        raise MalformedFile(f"{path}: a NumPy archive; save a safetensors or torch state_dict")
    if "data.pkl" not in inner:
        found = listed(names) if names else "nothing"
        raise MalformedFile(
            f"{path}: a zip archive, but not a torch checkpoint (no data.pkl, found {found}); "
            "unpack it and name the weights file in it"
        )
    for name, whole in zip(inner, names, strict=True):
        if not whole.startswith(root) or not _MEMBER.fullmatch(name):
            raise UnsafeFile(f"{path}: unexpected member '{clean(whole)}' in the checkpoint")
    return inner
