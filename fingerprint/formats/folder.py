"""Finds the weights and the configuration in a model folder, without leaving it.

A folder is what model hubs publish: ``config.json`` (timm's has ``architecture``,
``num_classes`` and ``pretrained_cfg``) beside ``model.safetensors`` or ``pytorch_model.bin``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fingerprint.errors import EnvironmentFailure, MalformedFile, UnsafeFile
from fingerprint.formats.file_bytes import read_file
from fingerprint.formats.naming import shown_path
from fingerprint.text import listed

__all__ = ["Place", "locate"]

_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "pytorch_model.safetensors", "model.pth",
            "model.pt")  # fmt: skip
_SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_MAX_CONFIG_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the weights are.

    Attributes:
        weights: Path of the weights file.
        follow_symlink: Whether that path may itself be a link.
        config: Parsed ``config.json``; empty if there is none.
        warnings: One line for each link that was followed.
    """

    weights: str
    follow_symlink: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def locate(path: str, *, follow_symlinks: bool = False) -> Place:
    """Returns the weights file a path stands for.

    A file that the caller names is taken as it is, link or not; inside a folder, links that
    lead out of it are refused unless ``follow_symlinks``.

    Raises:
        UnsafeFile: A link leads out of the folder.
        MalformedFile: The folder holds no weights, or its ``config.json`` does not parse.
        EnvironmentFailure: The folder may not be listed.
    """
    if not _is_folder(path):
        return Place(weights=path)
    try:
        names = set(os.listdir(path))
    except OSError as error:
        raise EnvironmentFailure(
            f"{shown_path(path)}: cannot be listed: {error.strerror}"
        ) from error
    name = next((candidate for candidate in _WEIGHTS if candidate in names), None)
    if name is None:
        raise MalformedFile(_nothing_found(path, names))
    warnings: list[str] = []
    weights = _inside(path, name, follow_symlinks, warnings)
    config: Mapping[str, Any] = {}
    if "config.json" in names:
        config = _read_config(_inside(path, "config.json", follow_symlinks, warnings))
    return Place(weights=weights, follow_symlink=False, config=config, warnings=tuple(warnings))


def _is_folder(path: str) -> bool:
    try:
        return os.path.isdir(path)
    except ValueError:
        return False


def _nothing_found(path: str, names: set[str]) -> str:
    shown = shown_path(path)
    if any(name in names for name in _SHARDED):
        return f"{shown}: the weights are in several shards; merge them into one safetensors file"
    wanted = "model.safetensors or pytorch_model.bin"
    found = listed(sorted(names)) if names else "nothing"
    return f"{shown}: expected {wanted} in the folder, found {found}; name the weights file itself"


def _inside(folder: str, name: str, follow_symlinks: bool, warnings: list[str]) -> str:
    """Returns the resolved path of a member, which lies in the folder unless links may leave it."""
    root = os.path.realpath(folder)
    target = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath([root, target]) == root:
        return target
    if not follow_symlinks:
        raise UnsafeFile(
            f"{shown_path(os.path.join(folder, name))}: a symbolic link out of the model folder "
            f"(to {shown_path(target)}); use --follow-symlinks if you trust it"
        )
    warnings.append(
        f"a symbolic link was followed out of the model folder: {name} -> {shown_path(target)}"
    )
    return target


def _read_config(path: str) -> Mapping[str, Any]:
    content = read_file(path, max_bytes=_MAX_CONFIG_BYTES, follow_symlink=False)
    try:
        config = json.loads(content.data)
    except (ValueError, RecursionError) as error:
        raise MalformedFile(
            f"{shown_path(path)}: expected a JSON object, it does not parse"
        ) from error
    if not isinstance(config, dict):
        raise MalformedFile(
            f"{shown_path(path)}: expected a JSON object, got {type(config).__name__}"
        )
    return config
