"""Finds the network in a folder that MLflow saved: what its ``MLmodel`` file says.

    saved = read_mlmodel("runs/1/artifacts/model/MLmodel")
    saved.flavor, saved.network          # "transformers", "model"

``MLmodel`` is YAML, which is read without its types, merges or tags: texts, lists and mappings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from fingerprint.errors import IncompatibleModel, MalformedFile, UnsafeFile
from fingerprint.formats.file_bytes import read_file
from fingerprint.formats.naming import shown_path
from fingerprint.text import clean, first_line, listed

__all__ = ["IMAGE_PROCESSOR", "MLMODEL", "Saved", "read_mlmodel"]

MLMODEL = "MLmodel"
IMAGE_PROCESSOR = os.path.join("components", "image_processor")
"""Where the folder keeps ``preprocessor_config.json``, apart from the network."""

_PLACES = {"transformers": "model_binary", "onnx": "data", "pytorch": "model_data"}
"""The flavors that are read, first choice first, and the entry that says where the network is."""

_MAX_BYTES = 2**16  # takes a second to parse; a real one has some kilobytes
_PLAIN = re.compile(r"[^./\\:\x00-\x1f\x7f][^\\:\x00-\x1f\x7f]{0,200}")
_WAY_OUT = (
    "for this MLflow model, where you trust it: "
    "torch.save(mlflow.pytorch.load_model(folder).state_dict(), 'weights.pt')"
)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What an MLflow model is.

    Attributes:
        flavor: ``transformers``, ``onnx`` or ``pytorch``.
        network: The file or folder of the network, relative to the model's folder.
    """

    flavor: str
    network: str

    @property
    def way_out(self) -> str:
        """What helps where the network cannot be read, because it is code."""
        return _WAY_OUT if self.flavor == "pytorch" else ""


def read_mlmodel(path: str, *, follow_symlink: bool = False) -> Saved:
    """Reads an ``MLmodel`` file.

    Raises:
        IncompatibleModel: No flavor of it is read here, or the network is not in the folder.
        MalformedFile: It does not parse.
        UnsafeFile: It is too large, or names a place elsewhere.
        EnvironmentFailure: It may not be read.
    """
    shown = shown_path(path)
    data = read_file(path, max_bytes=_MAX_BYTES, follow_symlink=follow_symlink).data
    flavors = _flavors(data, shown)
    flavor = next((one for one in _PLACES if one in flavors), None)
    if flavor is None:
        # Every model has that one besides its own; it says how to run it, not what it is.
        named = sorted(set(flavors) - {"python_function"}) or sorted(flavors)
        raise IncompatibleModel(
            f"{shown}: expected an MLflow model of flavor pytorch, onnx or transformers, got "
            f"{listed(named)}; save its network as one of these, or its weights with torch.save"
        )
    entries = flavors[flavor]
    place = entries.get(_PLACES[flavor]) if isinstance(entries, Mapping) else None
    if place in (None, "", "null"):
        raise IncompatibleModel(
            f"{shown}: expected {_PLACES[flavor]} to say where the network is, it does not; save "
            "the model with its weights, or name the file of its weights"
        )
    if not isinstance(place, str) or not _PLAIN.fullmatch(place) or ".." in place.split("/"):
        raise UnsafeFile(
            f"{shown}: expected a place inside the folder as {_PLACES[flavor]}, got {clean(place)}"
        )
    return Saved(flavor=flavor, network=place)


def _flavors(data: bytes, shown: str) -> Mapping[str, Any]:
    try:
        # The loader without types: no merge grows beyond the text, no tag makes an object.
        document = yaml.load(data, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise MalformedFile(
            f"{shown}: expected YAML, it does not parse: {first_line(error)}"
        ) from error
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict) or not flavors or not all(isinstance(k, str) for k in flavors):
        raise MalformedFile(f"{shown}: expected the model's flavors under 'flavors', got none")
    return flavors
