"""Reads safetensors: weights as plain data.

    tensors = read_safetensors(data, path)

The size of the header and its names are checked here before the safetensors library sees it,
which checks the rest.
"""

from __future__ import annotations

import json
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from fingerprint.errors import MalformedFile, UnsafeFile
from fingerprint.text import clean, first_line

__all__ = [
    "MAX_HEADER_BYTES",
    "check_header",
    "looks_like_safetensors",
    "read_safetensors",
    "unique",
]

MAX_HEADER_BYTES = 8 * 2**20
"""Largest header that is parsed: about 60 000 tensors."""

_MAX_BRACES = 200_000
_MAX_COMMAS = 2_000_000


def looks_like_safetensors(data: bytes) -> bool:
    """Whether the bytes begin as safetensors do: the length of a JSON object, then the object."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def read_safetensors(data: bytes, path: str) -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file.

    Args:
        data: The whole file.
        path: Its name, for messages.

    Raises:
        UnsafeFile: The header asks for more than it may.
        MalformedFile: The file is truncated or inconsistent.
    """
    check_header(data, path)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except (
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        AttributeError,
    ) as error:
        raise MalformedFile(f"{path}: not valid safetensors: {first_line(error)}") from error
    return tensors


def check_header(data: bytes, path: str) -> None:
    """Checks what the library does not: how large the header is, and that no name comes twice.

    Offsets, shapes and sizes are the library's to check, which it does against the file.

    Raises:
        UnsafeFile: The header is larger or more deeply nested than any real one.
        MalformedFile: It is truncated, not JSON, or has duplicate keys.
    """
    if len(data) < 8:
        raise MalformedFile(
            f"{path}: truncated: expected a safetensors header, got {len(data)} bytes"
        )
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise MalformedFile(
            f"{path}: truncated or corrupt: the header claims {length} bytes, "
            f"the file holds {len(data) - 8} after the length"
        )
    if length > MAX_HEADER_BYTES:
        raise UnsafeFile(
            f"{path}: expected a header of at most {MAX_HEADER_BYTES} bytes, got {length}"
        )
    header = data[8 : 8 + length]
    if max(map(header.count, (b"{", b"["))) > _MAX_BRACES or header.count(b",") > _MAX_COMMAS:
        raise UnsafeFile(f"{path}: the safetensors header has more entries than any network")
    try:
        entries = json.loads(header, object_pairs_hook=unique)
    except RecursionError as error:
        raise UnsafeFile(f"{path}: the safetensors header is nested too deeply") from error
    except ValueError as error:
        raise MalformedFile(f"{path}: bad safetensors header: {first_line(error)}") from error
    if not isinstance(entries, dict) or not entries.keys() - {"__metadata__"}:
        raise MalformedFile(f"{path}: the safetensors file holds no tensors")


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Builds an object, refusing two entries of one name (readers disagree on which counts)."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in values if names.count(name) > 1)
        raise ValueError(f"duplicate key '{clean(twice)}'")
    return values
