"""Finds the weights and the configuration in a model folder, without leaving it.

A folder is what model hubs publish: ``config.json`` (timm's has ``architecture``,
``num_classes`` and ``pretrained_cfg``) beside ``model.safetensors``, or beside the index of its
shards, or beside ``pytorch_model.bin``. It may lie in the cache of the Hugging Face hub, or be
what MLflow saved.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fingerprint.errors import (
    EnvironmentFailure,
    FingerprintError,
    IncompatibleModel,
    MalformedFile,
    UnsafeFile,
)
from fingerprint.formats.file_bytes import read_file
from fingerprint.formats.hub_cache import is_blob, snapshot
from fingerprint.formats.mlflow_folder import IMAGE_PROCESSOR, MLMODEL, read_mlmodel
from fingerprint.formats.naming import shown_path
from fingerprint.formats.program_file import program_kind
from fingerprint.formats.shards import INDEX, Shard, read_index
from fingerprint.text import listed

__all__ = ["PREPROCESSOR", "Place", "inside", "locate", "network_file"]

PREPROCESSOR = "preprocessor_config"
"""Where :attr:`Place.config` keeps what ``preprocessor_config.json`` says."""

_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_CONFIGURATIONS = ("config.json", f"{PREPROCESSOR}.json")
_OF_HUBS = {"architecture", "architectures", "model_type", "pretrained_cfg", PREPROCESSOR}
_NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state|random_states).*")
_INDEX_OF_PICKLES = "pytorch_model.bin.index.json"
_OF_PYTORCH = ("model.pth", "model.pt2")
"""What MLflow calls a network of torch."""

_MAX_CONFIG_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the weights are.

    Attributes:
        path: The weights file, or the index of its shards, as the caller or the folder calls it.
        weights: What is read: the same path, with the folder's links resolved.
        follow_symlink: Whether that path may itself be a link.
        shards: The files that an index names; empty if the weights are in one.
        config: Parsed ``config.json``, with ``preprocessor_config.json`` under its own name;
            empty if there is neither.
        way_out: What to do where the file turns out to be code; empty for the usual.
        warnings: One line for each link that was followed.
    """

    path: str
    weights: str
    follow_symlink: bool = True
    shards: tuple[Shard, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    way_out: str = ""
    warnings: tuple[str, ...] = ()


def locate(path: str, *, follow_symlinks: bool = False) -> Place:
    """Returns the weights file a path stands for.

    A file that the caller names is taken as it is, link or not, with the configuration that a
    model hub put beside it; inside a folder, links that lead out of it are refused unless
    ``follow_symlinks``, or unless they lead to a blob of the repository it is a snapshot of.

    Raises:
        UnsafeFile: A link, an index or a description leads out of the folder.
        MalformedFile: The folder holds no weights, or what describes them does not parse.
        IncompatibleModel: It holds several weights files, or a model of another library.
        EnvironmentFailure: The folder may not be listed.
    """
    if not _is_folder(path):
        return _sharded(_beside(path, follow_symlinks), follow_symlinks)
    path = snapshot(path)
    find = _of_mlflow if MLMODEL in _names(path) else _of_hub
    place = find(path, follow_symlinks)
    if not os.path.exists(place.weights):
        raise MalformedFile(
            f"{shown_path(place.path)}: expected a file, it is not there or a link to nothing; "
            "download the folder again"
        )
    return place


def network_file(path: str, *, follow_symlinks: bool = False) -> str:
    """Returns the network in a folder of MLflow's that others run; any other path as it is.

    Such a network is an ONNX file, or with the flavor pytorch one that is code.

    Raises:
        InputRefused: The folder's description, or where it leads, is refused as by :func:`locate`.
    """
    if not _is_folder(path) or not os.path.lexists(os.path.join(path, MLMODEL)):
        return path
    saved = read_mlmodel(inside(path, MLMODEL, follow_symlinks, []))
    if saved.flavor == "transformers":
        return path
    try:
        found = locate(path, follow_symlinks=follow_symlinks)
    except UnsafeFile:
        raise
    except FingerprintError:
        if saved.flavor == "onnx":
            raise
        return path  # whoever reads its weights is going to say what is wrong
    return found.path if saved.flavor == "onnx" or program_kind(found.weights) else path


def _of_hub(path: str, follow_symlinks: bool) -> Place:
    """Returns the only weights in a folder, in one file or under one index."""
    names = _names(path)
    files = _weights_in(path, names, follow_symlinks)
    if not files:
        raise MalformedFile(_nothing_found(path, names))
    if len(files) > 1:
        raise IncompatibleModel(
            f"{shown_path(path)}: expected one weights file in the folder, found "
            f"{listed(files, shown=6)}; they may differ: name the one that is meant, such as "
            f"{shown_path(os.path.join(path, files[0]))}"
        )
    warnings: list[str] = []
    place = Place(
        path=os.path.join(path, files[0]),
        weights=inside(path, files[0], follow_symlinks, warnings),
        follow_symlink=False,
        config=_configuration(path, names, follow_symlinks, warnings),
        warnings=tuple(warnings),
    )
    return _sharded(place, follow_symlinks)


def _weights_in(path: str, names: set[str], follow_symlinks: bool) -> list[str]:
    """Returns the weights files in a folder, with an index in place of the shards it names."""
    files = sorted(name for name in names if _is_weights(name))
    if _INDEX_OF_PICKLES in names and all(name.endswith(".bin") for name in files):
        return []
    for index in sorted(name for name in names if name.endswith(INDEX)):
        found = read_index(inside(path, index, follow_symlinks, []), follow_symlink=False)
        files = [index, *(name for name in files if name not in found)]
    return files


def _sharded(place: Place, follow_symlinks: bool) -> Place:
    """Returns where the shards are, if a place is that of their index."""
    if not place.path.endswith(INDEX):
        return place
    folder = os.path.dirname(place.path) or "."
    warnings: list[str] = []
    found = read_index(place.weights, follow_symlink=place.follow_symlink)
    shards = tuple(
        Shard(name=name, path=inside(folder, name, follow_symlinks, warnings), tensors=tensors)
        for name, tensors in found.items()
    )
    return replace(place, shards=shards, warnings=(*place.warnings, *warnings))


def _of_mlflow(path: str, follow_symlinks: bool) -> Place:
    """Returns the network that the ``MLmodel`` file of a folder names."""
    warnings: list[str] = []
    saved = read_mlmodel(inside(path, MLMODEL, follow_symlinks, warnings))
    named = os.path.join(path, saved.network)
    if saved.flavor == "pytorch":
        files = (os.path.join(named, file) for file in _OF_PYTORCH)
        named = next(filter(os.path.lexists, files), named)
    network = inside(path, os.path.relpath(named, path), follow_symlinks, warnings)
    if _is_folder(network):
        place = _of_hub(named, follow_symlinks)
    else:
        place = Place(path=named, weights=network, follow_symlink=False)
    config = dict(place.config)
    if saved.flavor == "transformers" and PREPROCESSOR not in config:
        beside = os.path.join(IMAGE_PROCESSOR, f"{PREPROCESSOR}.json")
        if os.path.lexists(os.path.join(path, beside)):
            config[PREPROCESSOR] = _read_config(inside(path, beside, follow_symlinks, warnings))
    return replace(
        place,
        config=config,
        way_out=saved.way_out if named.endswith(".pth") else "",
        warnings=(*warnings, *place.warnings),
    )


def _beside(path: str, follow_symlinks: bool) -> Place:
    """Returns a file by itself, with the configuration of the hub's folder it lies in, if any."""
    folder = os.path.dirname(path) or "."
    warnings: list[str] = []
    try:
        names = {name for name in _CONFIGURATIONS if os.path.lexists(os.path.join(folder, name))}
        config = _configuration(folder, names, follow_symlinks, warnings)
    except (FingerprintError, OSError, ValueError):
        # Nobody named that file: what is wrong with it does not concern the weights.
        return Place(path=path, weights=path)
    if not config.keys() & _OF_HUBS:
        return Place(path=path, weights=path)
    note = f"{' and '.join(sorted(names))} beside the file said what network it is"
    return Place(path=path, weights=path, config=config, warnings=(*warnings, note))


def _configuration(
    folder: str, names: set[str], follow_symlinks: bool, warnings: list[str]
) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in _CONFIGURATIONS:
        if name in names:
            stated = _read_config(inside(folder, name, follow_symlinks, warnings))
            config |= stated if name == "config.json" else {PREPROCESSOR: stated}
    return config


def _names(path: str) -> set[str]:
    try:
        return set(os.listdir(path))
    except OSError as error:
        raise EnvironmentFailure(
            f"{shown_path(path)}: cannot be listed: {error.strerror}"
        ) from error


def _is_weights(name: str) -> bool:
    return name.lower().endswith(_ENDINGS) and not _NO_WEIGHTS.fullmatch(name.lower())


def _is_folder(path: str) -> bool:
    try:
        return os.path.isdir(path)
    except ValueError:
        return False


def _nothing_found(path: str, names: set[str]) -> str:
    shown = shown_path(path)
    if _INDEX_OF_PICKLES in names:
        return (
            f"{shown}: the weights are pickled in several shards; merge them into one safetensors "
            "file, or save them anew with save_pretrained, which makes shards that are read"
        )
    wanted = "model.safetensors or pytorch_model.bin"
    found = listed(sorted(names)) if names else "nothing"
    return f"{shown}: expected {wanted} in the folder, found {found}; name the weights file itself"


def inside(folder: str, name: str, follow_symlinks: bool, warnings: list[str]) -> str:
    """Returns the resolved path of a member, which lies in the folder unless links may leave it.

    Links of a snapshot to the blobs of its repository are how the hub's cache is made.
    """
    root = os.path.realpath(folder)
    target = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath([root, target]) == root or is_blob(root, target):
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
