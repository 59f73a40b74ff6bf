"""Reads safetensors that are spread over several files, as their index says.

    shards = read_index("model.safetensors.index.json")     # tensor names by file
    tensors, facts = read_shards(index, [(path, names) for ...])

The index may be anybody's. Each file it names lies beside it, and holds exactly the tensors that
the index says: what is missing, or there twice, would be a network that nobody meant.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from torch import Tensor

from fingerprint.errors import MalformedFile, UnsafeFile
from fingerprint.formats.file_bytes import MAX_FILE_BYTES, FileFacts, read_file
from fingerprint.formats.naming import shown_path
from fingerprint.formats.safetensors_file import MAX_HEADER_BYTES, read_safetensors, unique
from fingerprint.text import clean, first_line, listed

__all__ = ["INDEX", "Shard", "line_of", "read_index", "read_shards"]

INDEX = ".safetensors.index.json"
"""How the name of an index ends."""

_PLAIN = re.compile(r"[^./\\:\x00-\x1f\x7f][^/\\:\x00-\x1f\x7f]{0,200}\.safetensors")
_MAX_SHARDS = 1000
_MAX_BRACES = 1000
_MAX_COMMAS = 200_000
_WAY_OUT = "download the folder again, or save the network anew"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of several.

    Attributes:
        name: What the index calls it.
        path: Where it is; not a link.
        tensors: The names of what it holds.
    """

    name: str
    path: str
    tensors: frozenset[str]


def read_index(path: str, *, follow_symlink: bool = True) -> dict[str, frozenset[str]]:
    """Returns which tensors an index says each file holds.

    Raises:
        MalformedFile: It is no index, or names no tensors.
        UnsafeFile: It names files elsewhere, or more than any network has.
        UsageError: There is no such file.
        EnvironmentFailure: It may not be read.
    """
    shown = shown_path(path)
    data = read_file(path, max_bytes=MAX_HEADER_BYTES, follow_symlink=follow_symlink).data
    if max(map(data.count, (b"{", b"["))) > _MAX_BRACES or data.count(b",") > _MAX_COMMAS:
        raise UnsafeFile(f"{shown}: the index has more entries than any network")
    try:
        index = json.loads(data, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise MalformedFile(f"{shown}: bad index of shards: {first_line(error)}") from error
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise MalformedFile(
            f"{shown}: expected an index of shards, a JSON object with the file of each tensor "
            f"under weight_map; {_WAY_OUT}"
        )
    found: dict[str, set[str]] = {}
    for tensor, name in places.items():
        if not isinstance(name, str) or not _PLAIN.fullmatch(name):
            raise UnsafeFile(
                f"{shown}: expected the name of a .safetensors file beside the index for "
                f"{clean(tensor)}, got {clean(name)}"
            )
        found.setdefault(name, set()).add(tensor)
    if len(found) > _MAX_SHARDS:
        raise UnsafeFile(f"{shown}: expected at most {_MAX_SHARDS} shards, got {len(found)}")
    return {name: frozenset(found[name]) for name in sorted(found)}


def read_shards(index: str, shards: Sequence[Shard]) -> tuple[dict[str, Tensor], FileFacts]:
    """Returns the tensors of all shards, and what was read.

    Args:
        index: Path of their index.
        shards: In the order of their names.

    Returns:
        Tensors by name, and facts whose digest is that of ``sha256sum``'s lines for the shards in
        this order, and whose size is that of all.

    Raises:
        MalformedFile: One is missing, damaged, or holds other tensors than the index says.
        UnsafeFile: They are larger than they may be, or no regular files.
        EnvironmentFailure: One may not be read.
    """
    _require_size(index, shards)
    tensors: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    size = 0
    for shard in shards:
        content = read_file(shard.path, max_bytes=MAX_FILE_BYTES - size, follow_symlink=False)
        held = read_safetensors(content.data, shown_path(shard.path))
        _require_same(index, shard, held.keys(), shards)
        tensors |= held
        digest.update(line_of(content.sha256, shard.name))
        size += len(content.data)
    path = os.path.abspath(index)
    return tensors, FileFacts(path=path, sha256=digest.hexdigest(), size=size, format="safetensors")


def line_of(sha256: str, name: str) -> bytes:
    """Returns what stands for a shard in the digest of all, as ``sha256sum`` would write it."""
    return f"{sha256}  {name}\n".encode()


def _require_size(index: str, shards: Sequence[Shard]) -> None:
    """Checks that all shards are there, and what they need, before the first is read."""
    missing = [shard.name for shard in shards if not os.path.exists(shard.path)]
    if missing:
        raise MalformedFile(
            f"{shown_path(index)}: expected {len(shards)} shards, missing {listed(missing)}; "
            "download the folder again"
        )
    size = sum(os.path.getsize(shard.path) for shard in shards)
    if size > MAX_FILE_BYTES:
        raise UnsafeFile(
            f"{shown_path(index)}: expected shards of at most {MAX_FILE_BYTES} bytes, got {size}"
        )


def _require_same(index: str, shard: Shard, held: Set[str], shards: Sequence[Shard]) -> None:
    """Checks that a shard holds what the index says, no less and no more."""
    where = f"{shown_path(index)}: {clean(shard.name)}"
    missing = sorted(shard.tensors.difference(held))
    if missing:
        raise MalformedFile(f"{where} lacks {listed(missing)}; {_WAY_OUT}")
    more = sorted(set(held) - shard.tensors)
    if more:
        other = next((one.name for one in shards if more[0] in one.tensors), None)
        place = "which the index does not name" if other is None else f"as {clean(other)} does"
        raise MalformedFile(f"{where} holds {listed(more)}, {place}; {_WAY_OUT}")
