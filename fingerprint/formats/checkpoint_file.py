"""Reads torch checkpoints as data: ``weights_only=True``, and nothing else.

    content = read_checkpoint(data, path)      # a state_dict, or dictionaries around one

Both layouts torch ever wrote are read: the zip archive, and the older stream of pickles. Before
torch sees a file, its names are checked against a fixed list and its declared sizes against
the file, so a refusal names the reason and memory stays bounded. There is no fallback.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Mapping
from typing import Any, BinaryIO

import torch

from fingerprint.errors import InputRefused, MalformedFile, UnsafeFile
from fingerprint.formats.archive import check_torch_archive
from fingerprint.formats.naming import naming
from fingerprint.formats.pickle_scan import Scan, Storage, Use, scan
from fingerprint.formats.safe_globals import holds_layers, require_allowed, stand_ins
from fingerprint.text import clean, first_line

__all__ = [
    "looks_like_legacy",
    "looks_like_pickle",
    "looks_like_zip",
    "read_checkpoint",
    "refuse_pickle",
]

MAX_PICKLE_BYTES = 2**30
"""Largest description of names and shapes; NumPy arrays stand in it with all their values."""

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_HEAD_BYTES = 2**16
_DOTTED = re.compile(r"[\w.]+")
_ITEM_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2,
    "Char": 1, "Byte": 1, "Bool": 1, "Untyped": 1, "ComplexDouble": 16, "ComplexFloat": 8,
    "QUInt8": 1, "QInt8": 1, "QInt32": 4, "QUInt4x2": 1, "QUInt2x4": 1,
}  # fmt: skip


def looks_like_zip(data: bytes) -> bool:
    """Whether the bytes begin as a zip archive does."""
    return data[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def looks_like_legacy(data: bytes) -> bool:
    """Whether the bytes begin as torch's older, non-zip checkpoints do."""
    return data.startswith(_LEGACY)


def looks_like_pickle(data: bytes) -> bool:
    """Whether the bytes begin a pickle of protocol 2 to 5, or import something as one."""
    if len(data) > 2 and data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05":
        return True
    names = scan(io.BytesIO(data[:_HEAD_BYTES])).globals
    return bool(names) and all(_DOTTED.fullmatch(name) for name in names)


def refuse_pickle(data: bytes, path: str) -> None:
    """Refuses a pickle that is no torch checkpoint, naming what it would have run.

    Raises:
        UnsafeFile: Always.
    """
    names = scan(io.BytesIO(data[:MAX_PICKLE_BYTES])).globals
    require_allowed(names, path)
    if holds_layers(names):
        raise UnsafeFile(_whole_module(names, path))
    raise UnsafeFile(
        f"{path}: a raw pickle, not a torch checkpoint; "
        "save the weights with torch.save(model.state_dict(), path)"
    )


def read_checkpoint(data: bytes, path: str) -> Any:
    """Returns what a torch checkpoint holds.

    Args:
        data: The whole file.
        path: Its name, for messages.

    Raises:
        UnsafeFile: Loading it would run code or exhaust memory.
        MalformedFile: It is truncated or corrupt.
        IncompatibleModel: It holds tensors that are no weights (sparse, quantised).
    """
    try:
        with naming(path):
            check = _check_zip_pickle if looks_like_zip(data) else _check_legacy
            names = check(data, path)
            content = _load(data, names)
    except InputRefused:
        raise
    except Exception as error:
        # The readers meet arbitrary bytes: whatever they raise means that these are no weights.
        raise MalformedFile(
            f"{path}: not a readable torch checkpoint: {first_line(error)}; "
            "save it again with torch.save(model.state_dict(), path)"
        ) from error
    if holds_layers(names) and not isinstance(content, (dict, list, tuple)):
        raise UnsafeFile(_whole_module(names, path))
    return content


def _whole_module(names: Mapping[str, Use], path: str) -> str:
    layer = next(name for name in names if holds_layers({name: names[name]}))
    return (
        f"{path}: a whole pickled module ({clean(layer)}), which runs code when "
        "loaded; save the state_dict: torch.save(model.state_dict(), path)"
    )


def _load(data: bytes, names: Mapping[str, Use]) -> Any:
    with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins(names)):
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _check_zip_pickle(data: bytes, path: str) -> Mapping[str, Use]:
    """Checks the archive and its pickle, read by the reader that torch will use."""
    sizes = check_torch_archive(data, path)
    if sizes["data.pkl"] > MAX_PICKLE_BYTES:
        raise UnsafeFile(
            f"data.pkl has {sizes['data.pkl']} bytes, expected at most {MAX_PICKLE_BYTES}"
        )
    pickled: bytes = torch._C.PyTorchFileReader(io.BytesIO(data)).get_record("data.pkl")
    found = _checked(io.BytesIO(pickled), path)
    for storage in found.storages:
        held = sizes.get(f"data/{storage.key}", 0)
        needed = storage.numel * _item_bytes(storage)
        if needed > held:
            raise MalformedFile(
                f"storage {clean(storage.key)}: claims {needed} bytes, the file holds {held}"
            )
    return found.globals


def _checked(stream: BinaryIO, path: str) -> Scan:
    """Scans one pickle and refuses what it may not do."""
    found = scan(stream)
    require_allowed(found.globals, path)
    if found.fault is not None:
        raise found.fault
    return found


def _check_legacy(data: bytes, path: str) -> Mapping[str, Use]:
    """Checks the five pickles of the older layout, and the sizes they declare."""
    stream = io.BytesIO(data)
    for _ in range(3):  # magic number, protocol, facts about the writer's machine
        _checked(stream, path)
    found = _checked(stream, path)
    present = _checked(stream, path).strings
    absent = [storage.key for storage in found.storages if storage.key not in present]
    if absent:
        raise MalformedFile(f"storage {clean(absent[0])}: the file does not hold its values")
    sizes = {storage.key: storage.numel * _item_bytes(storage) for storage in found.storages}
    if math.fsum(sizes.values()) > len(data) - stream.tell():
        raise MalformedFile(
            f"truncated: the weights need {math.fsum(sizes.values()):.4g} bytes, "
            f"{len(data) - stream.tell()} follow"
        )
    return found.globals


def _item_bytes(storage: Storage) -> int:
    """Returns the element size of a storage class such as ``torch.FloatStorage``."""
    name = storage.kind.rpartition(".")[2].removesuffix("Storage")
    if name not in _ITEM_BYTES:
        raise MalformedFile(f"storage class {clean(storage.kind)} is unknown")
    return _ITEM_BYTES[name]
