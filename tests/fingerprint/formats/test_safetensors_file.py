from __future__ import annotations

import json
import struct
import time
import tracemalloc
from typing import Any

import pytest
import safetensors.torch
import torch

from fingerprint.errors import InputRefused, MalformedFile
from fingerprint.formats.safetensors_file import check_header, read_safetensors


def written(header: Any, payload: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + payload


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


DEEP = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
HOSTILE = {
    "header of 2^63 bytes": written(b"{}", length=2**63),
    "header of 99 MB in a small file": written(b"{}", length=99_000_000),
    "99 MB of header": written(b'{"a":"' + b"x" * 99_000_000 + b'"}'),
    "shape product overflows": written({"a": entry([2**40, 2**40], 0, 8)}, b"\0" * 8),
    "shape product wraps to zero": written({"a": entry([2**32, 2**32], 0, 0)}),
    "sixteen huge dimensions": written({"a": entry([2**62] * 16, 0, 8)}, b"\0" * 8),
    "negative dimension": written({"a": entry([-1, -2], 0, 8)}, b"\0" * 8),
    "fractional dimension": written({"a": entry([2.0], 0, 8)}, b"\0" * 8),  # type: ignore[list-item]
    "boolean dimension": written({"a": entry([True], 0, 4)}, b"\0" * 4),
    "dimension of many digits": written(b'{"a":{"dtype":"F32","shape":[' + b"9" * 10**6 + b"]}}"),
    "offsets beyond the end": written({"a": entry([2], 0, 8)}, b"\0" * 4),
    "offsets reversed": written({"a": entry([2], 8, 0)}, b"\0" * 8),
    "overlap": written({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, b"\0" * 12),
    "hole": written({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, b"\0" * 12),
    "bytes after the last tensor": written({"a": entry([1], 0, 4)}, b"\0" * 99),
    "duplicate keys": written(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        b"\0" * 8,
    ),
    "duplicate dtype": written(
        b'{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4
    ),
    "200k-deep JSON": written(DEEP),
    "millions of empty lists": written(b'{"a":[' + b"[]," * 2_000_000 + b"[]]}"),
    "unknown dtype": written({"a": entry([1], 0, 4, "F33")}, b"\0" * 4),
    "dtype that is a list": written({"a": {**entry([1], 0, 4), "dtype": []}}, b"\0" * 4),
    "entry without offsets": written({"a": {"dtype": "F32", "shape": [1]}}, b"\0" * 4),
    "not JSON": written(b"{'a': 1}"),
    "NaN constant": written(b'{"a": NaN}'),
    "not UTF-8": written(b'{"\xff": 1}'),
    "a list": written(b"[]"),
    "no tensors": written({"__metadata__": {"format": "pt"}}),
    "seven bytes": b"\0" * 7,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_header_is_refused_within_a_second_and_100_mb(data: bytes) -> None:
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(InputRefused, match=r"file\.safetensors"):
            read_safetensors(data, "file.safetensors")
        seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 1
    assert peak < 100e6


def test_every_truncation_of_a_header_or_its_data_is_malformed() -> None:
    data = safetensors.torch.save({"a": torch.ones(3), "b": torch.ones(2, 2)})
    for size in range(len(data)):
        with pytest.raises(MalformedFile):
            read_safetensors(data[:size], "f")


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8]
)
def test_header_check_accepts_what_the_library_writes(dtype: torch.dtype) -> None:
    tensors = {"a": torch.ones(3, 2).to(dtype), "empty": torch.ones(0, 4).to(dtype),
               "scalar": torch.tensor(1).to(dtype)}  # fmt: skip
    data = safetensors.torch.save(tensors, metadata={"format": "pt", "note": "{[]}"})
    check_header(data, "f")
    read = read_safetensors(data, "f")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
