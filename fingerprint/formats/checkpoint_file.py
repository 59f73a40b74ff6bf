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
from typing import Any

import torch

from fingerprint.errors import InputRefused, MalformedFile, UnsafeFile
from fingerprint.formats.archive import check_torch_archive
from fingerprint.formats.naming import naming
from fingerprint.formats.pickle_scan import Storage, global_names, storages_of, strings_of
from fingerprint.formats.stand_ins import require_allowed, safe_globals
from fingerprint.text import clean, first_line

__all__ = [
    "looks_like_legacy",
    "looks_like_pickle",
    "looks_like_zip",
    "read_checkpoint",
    "refuse_pickle",
]

MAX_PICKLE_BYTES = 2**25
"""Largest description of names and shapes: hundreds of thousands of tensors."""

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
    names = global_names(data[:_HEAD_BYTES])
    return bool(names) and all(_DOTTED.fullmatch(name) for name in names)


def refuse_pickle(data: bytes, path: str) -> None:
    """Refuses a pickle that is no torch checkpoint, naming what it would have run.

    Raises:
        UnsafeFile: Always.
    """
    require_allowed(global_names(data[:MAX_PICKLE_BYTES]), path)
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
            if looks_like_zip(data):
                _check_zip_pickle(data, check_torch_archive(data, path), path)
            else:
                _check_legacy(data, path)
            return _load(data)
    except InputRefused:
        raise
    except Exception as error:
        # The readers meet arbitrary bytes: whatever they raise means that these are no weights.
        raise MalformedFile(
            f"{path}: not a readable torch checkpoint: {first_line(error)}; "
            "save it again with torch.save(model.state_dict(), path)"
        ) from error


def _load(data: bytes) -> Any:
    with warnings.catch_warnings(), torch.serialization.safe_globals(safe_globals()):
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _check_zip_pickle(data: bytes, sizes: dict[str, int], path: str) -> None:
    """Checks the archive's pickle, read by the reader that torch will use."""
    if sizes["data.pkl"] > MAX_PICKLE_BYTES:
        raise UnsafeFile(
            f"data.pkl has {sizes['data.pkl']} bytes, expected at most {MAX_PICKLE_BYTES}"
        )
    pickled: bytes = torch._C.PyTorchFileReader(io.BytesIO(data)).get_record("data.pkl")
    require_allowed(global_names(pickled), path)
    for storage in storages_of(io.BytesIO(pickled)):
        held = sizes.get(f"data/{storage.key}", 0)
        needed = storage.numel * _item_bytes(storage)
        if needed > held:
            raise MalformedFile(
                f"storage {clean(storage.key)}: claims {needed} bytes, the file holds {held}"
            )


def _check_legacy(data: bytes, path: str) -> None:
    """Checks the five pickles of the older layout, and the sizes they declare."""
    stream = io.BytesIO(data)
    for _ in range(3):  # magic number, protocol, facts about the writer's machine
        begin = stream.tell()
        strings_of(stream)
        require_allowed(global_names(data[begin : stream.tell()]), path)
    begin = stream.tell()
    require_allowed(global_names(data[begin : begin + MAX_PICKLE_BYTES]), path)
    storages = storages_of(stream)
    present = strings_of(stream)
    absent = [storage.key for storage in storages if storage.key not in present]
    if absent:
        raise MalformedFile(f"storage {clean(absent[0])}: the file does not hold its values")
    sizes = {storage.key: storage.numel * _item_bytes(storage) for storage in storages}
    if math.fsum(sizes.values()) > len(data) - stream.tell():
        raise MalformedFile(
            f"truncated: the weights need {math.fsum(sizes.values()):.4g} bytes, "
            f"{len(data) - stream.tell()} follow"
        )


def _item_bytes(storage: Storage) -> int:
    """Returns the element size of a storage class such as ``torch.FloatStorage``."""
    name = storage.kind.rpartition(".")[2].removesuffix("Storage")
    if name not in _ITEM_BYTES:
        raise MalformedFile(f"storage class {clean(storage.kind)} is unknown")
    return _ITEM_BYTES[name]
