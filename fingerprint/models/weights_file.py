"""Reads weights from a file or a model folder, whatever its name says it is.

    weights = read_weights("model.safetensors")
    weights.tensors, weights.file.sha256

The content decides the format, never the extension.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fingerprint.models.checkpoint_file import read_checkpoint
from fingerprint.models.file_bytes import FileBytes, read_file
from fingerprint.models.folder import locate
from fingerprint.models.model import FileFacts
from fingerprint.models.safetensors_file import looks_like_safetensors, read_safetensors
from fingerprint.models.tensors import admit
from fingerprint.models.unwrap import unwrap

__all__ = ["WeightsFile", "read_weights"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightsFile:
    """Weights and where they came from.

    Attributes:
        tensors: Dense tensors by bare name.
        file: The file they were read from.
        config: The model folder's ``config.json``; empty for a single file.
        warnings: One line for each choice or conversion.
    """

    tensors: dict[str, Tensor]
    file: FileFacts
    config: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read_weights(path: str, *, follow_symlinks: bool = False) -> WeightsFile:
    """Reads a weights file, or the weights of a model folder.

    Args:
        path: A ``.safetensors`` or torch checkpoint file of any name, or a folder with
            ``config.json`` and weights.
        follow_symlinks: Whether links may lead out of a model folder.

    Raises:
        UsageError: There is no such file.
        EnvironmentFailure: It may not be read.
        InputRefused: It is unsafe, malformed or holds no weights.
    """
    place = locate(path, follow_symlinks=follow_symlinks)
    content = read_file(place.weights, follow_symlink=place.follow_symlink)
    loaded, kind = _parse(content)
    bare = unwrap(loaded)
    tensors, conversions = admit(bare.tensors, content.path)
    return WeightsFile(
        tensors=tensors,
        file=FileFacts(
            path=os.path.abspath(content.path),
            sha256=content.sha256,
            size=len(content.data),
            format=kind,
        ),
        config=place.config,
        warnings=(*place.warnings, *bare.warnings, *conversions),
    )


def _parse(content: FileBytes) -> tuple[Any, str]:
    if looks_like_safetensors(content.data):
        return read_safetensors(content.data, content.path), "safetensors"
    return read_checkpoint(content.data, content.path), "torch"
