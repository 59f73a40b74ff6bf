"""Reads safetensors: weights as plain data.

    tensors = read_safetensors(data, path)

The header is checked here, strictly and cheaply, before the safetensors library sees it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from fingerprint.errors import MalformedFile, UnsafeFile
from fingerprint.text import clean, first_line

__all__ = ["MAX_HEADER_BYTES", "check_header", "looks_like_safetensors", "read_safetensors"]

MAX_HEADER_BYTES = 8 * 2**20
"""Largest header that is parsed: about 60 000 tensors."""

_MAX_BRACES = 200_000
_MAX_COMMAS = 2_000_000
_MAX_DIMENSIONS = 16
_MAX_DEPTH = 3
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


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
    """Checks the header against the file: sizes, names, shapes and offsets.

    The cost is bounded by :data:`MAX_HEADER_BYTES`; nothing is allocated for the tensors.

    Raises:
        UnsafeFile: The header is larger or more deeply nested than any real one.
        MalformedFile: It is truncated, not JSON, has duplicate keys, or contradicts itself.
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
    entries = _parse(data[8 : 8 + length], path)
    spans = [_span(name, entry, path) for name, entry in entries.items() if name != "__metadata__"]
    _check_spans(spans, len(data) - 8 - length, path)


def _parse(header: bytes, path: str) -> dict[str, Any]:
    if header.count(b"{") > _MAX_BRACES or header.count(b",") > _MAX_COMMAS:
        raise UnsafeFile(f"{path}: the safetensors header has more entries than any network")
    if header.count(b"[") > _MAX_BRACES:
        raise UnsafeFile(f"{path}: the safetensors header has more shapes than any network")
    try:
        entries = json.loads(header, object_pairs_hook=_unique, parse_constant=_reject)
    except RecursionError as error:
        raise UnsafeFile(f"{path}: the safetensors header is nested too deeply") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise MalformedFile(f"{path}: bad safetensors header: {first_line(error)}") from error
    if not isinstance(entries, dict):
        raise MalformedFile(f"{path}: bad safetensors header: expected a JSON object")
    if not entries.keys() - {"__metadata__"}:
        raise MalformedFile(f"{path}: the safetensors file holds no tensors")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Builds an object, refusing two entries of one name (readers disagree on which counts)."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in values if names.count(name) > 1)
        raise ValueError(f"duplicate key '{clean(twice)}'")
    return values


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _span(name: str, entry: Any, path: str) -> tuple[int, int, str]:
    """Returns (begin, end, name) of one tensor, after checking its entry."""
    shown = clean(name)
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise MalformedFile(f"{path}: tensor '{shown}': expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise MalformedFile(f"{path}: tensor '{shown}': unknown dtype {clean(dtype, limit=20)}")
    if not _naturals(shape) or len(shape) > _MAX_DIMENSIONS:
        raise MalformedFile(f"{path}: tensor '{shown}': the shape is not a list of sizes")
    if not _naturals(offsets) or len(offsets) != 2:
        raise MalformedFile(f"{path}: tensor '{shown}': data_offsets is not a begin and an end")
    begin, end = offsets
    if (end - begin) * 8 != math.prod(shape) * _BITS[dtype]:
        raise MalformedFile(
            f"{path}: tensor '{shown}': its shape needs {math.prod(shape) * _BITS[dtype] // 8:.4g} "
            f"bytes, its data_offsets span {end - begin:.4g}"
        )
    return begin, end, name


def _naturals(values: Any) -> bool:
    """Whether it is a list of sizes that fit 63 bits (a bool is no size)."""
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 2**63 for value in values
    )


def _check_spans(spans: Iterable[tuple[int, int, str]], size: int, path: str) -> None:
    """Checks that the tensors tile the data: no hole, no overlap, nothing beyond the end."""
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            kind = "overlaps another tensor" if begin < position else "leaves a hole before it"
            raise MalformedFile(f"{path}: tensor '{clean(name)}': its data {kind}")
        if end > size:
            raise MalformedFile(
                f"{path}: truncated: tensor '{clean(name)}' ends at byte {end} "
                f"of the data, which has {size}"
            )
        position = end
    if position != size:
        raise MalformedFile(f"{path}: {size - position} bytes follow the last tensor")
