"""The digest of a file is the one it is loaded with, and no weights are loaded for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from safetensors.torch import save_file

from fingerprint.errors import FingerprintError, MalformedFile, UnsafeFile, UsageError
from fingerprint.formats.file_digest import file_digest
from fingerprint.formats.weights_file import read_weights
from tests.fingerprint.network.networks import small


def test_the_digest_of_a_file_is_what_loading_says(tmp_path: Path) -> None:
    path = str(tmp_path / "small.safetensors")
    save_file(small().state_dict(), path)
    assert file_digest(path) == read_weights(path).file.sha256
    os.symlink(path, tmp_path / "link")
    assert file_digest(str(tmp_path / "link")) == file_digest(path)


def test_the_digest_of_shards_is_what_loading_says(tmp_path: Path) -> None:
    state = small().state_dict()
    files = {name: f"{number % 2}.safetensors" for number, name in enumerate(state)}
    for file in set(files.values()):
        save_file({name: state[name] for name in state if files[name] == file}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    assert file_digest(str(index)) == read_weights(str(index)).file.sha256
    (tmp_path / "0.safetensors").unlink()
    with pytest.raises(FingerprintError):
        file_digest(str(index))
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(UnsafeFile):
        file_digest(str(index))
    index.write_text("[]")
    with pytest.raises(MalformedFile):
        file_digest(str(index))


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(UnsafeFile):
            file_digest(str(path))
    with pytest.raises(UsageError):
        file_digest(str(tmp_path / "nowhere"))
