"""Finds the weights and the configuration in a model folder, without leaving it.

A folder is what model hubs publish: ``config.json`` (timm's has ``architecture``,
``num_classes`` and ``pretrained_cfg``) beside ``model.safetensors`` or ``pytorch_model.bin``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fingerprint.errors import (
    EnvironmentFailure,
    FingerprintError,
    IncompatibleModel,
    MalformedFile,
    UnsafeFile,
)
from fingerprint.formats.file_bytes import read_file
from fingerprint.formats.naming import shown_path
from fingerprint.text import listed

__all__ = ["PREPROCESSOR", "Place", "inside", "locate"]

PREPROCESSOR = "preprocessor_config"
"""Where :attr:`Place.config` keeps what ``preprocessor_config.json`` says."""

_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_CONFIGURATIONS = ("config.json", f"{PREPROCESSOR}.json")
_OF_HUBS = {"architecture", "architectures", "model_type", "pretrained_cfg", PREPROCESSOR}
_NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state|random_states).*")
_SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_MAX_CONFIG_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the weights are.

    Attributes:
        weights: Path of the weights file.
        follow_symlink: Whether that path may itself be a link.
        config: Parsed ``config.json``, with ``preprocessor_config.json`` under its own name;
            empty if there is neither.
        warnings: One line for each link that was followed.
    """

    weights: str
    follow_symlink: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def locate(path: str, *, follow_symlinks: bool = False) -> Place:
    """Returns the weights file a path stands for.

    A file that the caller names is taken as it is, link or not, with the configuration that a
    model hub put beside it; inside a folder, links that
    lead out of it are refused unless ``follow_symlinks``.

    Raises:
        UnsafeFile: A link leads out of the folder.
        MalformedFile: The folder holds no weights, or its configuration does not parse.
        IncompatibleModel: It holds several weights files.
        EnvironmentFailure: The folder may not be listed.
    """
    if not _is_folder(path):
        return _beside(path, follow_symlinks)
    try:
        names = set(os.listdir(path))
    except OSError as error:
        raise EnvironmentFailure(
            f"{shown_path(path)}: cannot be listed: {error.strerror}"
        ) from error
    files = sorted(name for name in names if _is_weights(name))
    if not files or any(name in names for name in _SHARDED):
        raise MalformedFile(_nothing_found(path, names))
    if len(files) > 1:
        raise IncompatibleModel(
            f"{shown_path(path)}: expected one weights file in the folder, found "
            f"{listed(files, shown=6)}; they may differ: name the one that is meant, such as "
            f"{shown_path(os.path.join(path, files[0]))}"
        )
    warnings: list[str] = []
    weights = inside(path, files[0], follow_symlinks, warnings)
    config = _configuration(path, names, follow_symlinks, warnings)
    return Place(weights=weights, follow_symlink=False, config=config, warnings=tuple(warnings))


def _beside(path: str, follow_symlinks: bool) -> Place:
    """Returns a file by itself, with the configuration of the hub's folder it lies in, if any."""
    folder = os.path.dirname(path) or "."
    warnings: list[str] = []
    try:
        names = {name for name in _CONFIGURATIONS if os.path.lexists(os.path.join(folder, name))}
        config = _configuration(folder, names, follow_symlinks, warnings)
    except (FingerprintError, OSError, ValueError):
        # Nobody named that file: what is wrong with it does not concern the weights.
        return Place(weights=path)
    if not config.keys() & _OF_HUBS:
        return Place(weights=path)
    note = f"{' and '.join(sorted(names))} beside the file said what network it is"
    return Place(weights=path, config=config, warnings=(*warnings, note))


def _configuration(
    folder: str, names: set[str], follow_symlinks: bool, warnings: list[str]
) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in _CONFIGURATIONS:
        if name in names:
            stated = _read_config(inside(folder, name, follow_symlinks, warnings))
            config |= stated if name == "config.json" else {PREPROCESSOR: stated}
    return config


def _is_weights(name: str) -> bool:
    return name.lower().endswith(_ENDINGS) and not _NO_WEIGHTS.fullmatch(name.lower())


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


def inside(folder: str, name: str, follow_symlinks: bool, warnings: list[str]) -> str:
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
