"""Reads weights from a file or a model folder, whatever its name says it is.

    weights = read_weights("model.safetensors")
    weights.tensors, weights.file.sha256

The content decides the format, never the extension.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fingerprint.errors import IncompatibleModel, MalformedFile, UnsafeFile
from fingerprint.formats.checkpoint_file import (
    looks_like_legacy,
    looks_like_pickle,
    looks_like_zip,
    read_checkpoint,
    refuse_pickle,
)
from fingerprint.formats.file_bytes import FileBytes, FileFacts, read_file, read_head
from fingerprint.formats.folder import Place, locate
from fingerprint.formats.foreign import HDF5, ONNX, OPENVINO, TFLITE, foreign_kind
from fingerprint.formats.naming import naming, shown_path
from fingerprint.formats.safetensors_file import (
    check_header,
    looks_like_safetensors,
    read_safetensors,
)
from fingerprint.formats.shards import read_shards
from fingerprint.formats.tensors import admit
from fingerprint.formats.unwrap import Entry, chosen, entries

__all__ = ["WeightsFile", "is_onnx", "read_weights"]

_WAY_OUT = "expected weights: a state_dict saved as safetensors or with torch.save"
_RUN = "it has no state_dict; 'fp verify' asks it in a sandbox, and it cannot be registered"
_WAYS_OUT = {
    ONNX: "it has no state_dict; 'fp register' and 'fp verify' take it as it is",
    **dict.fromkeys((HDF5, OPENVINO, TFLITE), _RUN),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightsFile:
    """Weights and where they came from.

    Attributes:
        entries: The sets of weights in the file, each of dense tensors by bare name; best first.
        file: The file they were read from.
        config: What a model folder says of its network; empty for a single file.
        warnings: One line for each choice that was made.
    """

    entries: tuple[Entry, ...]
    file: FileFacts
    config: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read_weights(
    path: str, *, key: str | None = None, follow_symlinks: bool = False
) -> WeightsFile:
    """Reads a weights file, or the weights of a model folder.

    Args:
        path: A ``.safetensors`` or torch checkpoint file of any name, the index of several
            safetensors, or a folder with ``config.json`` and weights.
        key: Where in the file the weights lie, such as ``ema``; None for wherever they fit.
        follow_symlinks: Whether links may lead out of a model folder.

    Raises:
        UsageError: There is no such file, or nothing in it under ``key``.
        EnvironmentFailure: It may not be read.
        InputRefused: It is unsafe, malformed or holds no weights.
    """
    place = locate(path, follow_symlinks=follow_symlinks)
    loaded, facts = read_shards(place.path, place.shards) if place.shards else _loaded(place)
    with naming(facts.path):
        found = entries(loaded)
        if key is not None:
            found = chosen(found, key)
        found = _admitted(found, shown_path(facts.path))
    return WeightsFile(entries=found, file=facts, config=place.config, warnings=place.warnings)


def _loaded(place: Place) -> tuple[Any, FileFacts]:
    """Returns what one file holds, and what was read."""
    path = os.path.abspath(place.path)
    content = read_file(place.weights, follow_symlink=place.follow_symlink)
    try:
        with naming(path):
            loaded, kind = _parse(replace(content, path=path))
    except UnsafeFile as error:
        if place.way_out:
            error.args = (f"{error}; {place.way_out}", *error.args[1:])
        raise
    size = len(content.data)
    return loaded, FileFacts(path=path, sha256=content.sha256, size=size, format=kind)


def is_onnx(path: str) -> bool:
    """Says whether a file is an ONNX network; its name decides only what its bytes leave open."""
    head = read_head(path)
    if foreign_kind(head) == ONNX:
        return True
    readable = (looks_like_zip, looks_like_legacy, looks_like_pickle, looks_like_safetensors)
    named = path.lower().endswith(".onnx") and not os.path.isdir(path)
    return named and foreign_kind(head) is None and not any(one(head) for one in readable)


def _admitted(found: tuple[Entry, ...], path: str) -> tuple[Entry, ...]:
    """Leaves out sets that are no weights, such as sparse statistics, unless all are."""
    admitted: list[Entry] = []
    refusals: list[IncompatibleModel] = []
    for entry in found:
        try:
            tensors, warnings = admit(entry.tensors, path)
        except IncompatibleModel as error:
            refusals.append(error)
        else:
            admitted.append(replace(entry, tensors=tensors, warnings=warnings))
    if not admitted:
        raise refusals[0]
    return tuple(admitted)


def _is_pickle_in_text(data: bytes) -> bool:
    """Whether what looks like text imports names, as pickles of the oldest protocol do."""
    return data[:1] not in b"<{[" and looks_like_pickle(data)


def _parse(content: FileBytes) -> tuple[Any, str]:
    """Reads the content with the one reader its first bytes call for."""
    data, path = content.data, shown_path(content.path)
    if looks_like_zip(data) or looks_like_legacy(data):
        return read_checkpoint(data, path), "torch"
    if looks_like_safetensors(data):
        return read_safetensors(data, path), "safetensors"
    kind = foreign_kind(data)
    if kind is not None and not _is_pickle_in_text(data):
        raise MalformedFile(f"{path}: {kind}; {_WAYS_OUT.get(kind, _WAY_OUT)}")
    if looks_like_pickle(data):
        refuse_pickle(data, path)
    # The rest is damaged or foreign; the check of the safetensors header says what is wrong.
    if path.endswith(".safetensors") or data[8:9] == b"{":
        check_header(data, path)
    raise MalformedFile(f"{path}: truncated, or neither safetensors nor a torch file; {_WAY_OUT}")
