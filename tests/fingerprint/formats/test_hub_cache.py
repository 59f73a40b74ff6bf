"""The cache of the Hugging Face hub: links to blobs are followed, others are not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from fingerprint.errors import IncompatibleModel, MalformedFile, UnsafeFile
from fingerprint.formats.folder import locate
from fingerprint.formats.weights_file import read_weights
from fingerprint.network import load_model
from registry.names import default_name
from tests.fingerprint.network.networks import SMALL, small

COMMIT, OTHER = "ab" * 20, "cd" * 20
CONFIG = {"architecture": "resnet10t"}


def kept(repository: Path, commit: str, name: str, content: bytes) -> Path:
    """Keeps a file as the hub's library does; returns its blob."""
    blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
    link = repository / "snapshots" / commit / name
    for folder in (blob.parent, link.parent):
        folder.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link.symlink_to(Path("../" * (2 + name.count("/"))) / "blobs" / blob.name)
    return blob


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "hub" / "models--ours--cats"
    save_file(small().state_dict(), tmp_path / "whole.safetensors")
    kept(path, COMMIT, "model.safetensors", (tmp_path / "whole.safetensors").read_bytes())
    kept(path, COMMIT, "config.json", json.dumps(CONFIG).encode())
    (path / "refs").mkdir()
    (path / "refs" / "main").write_text(COMMIT)
    return path


@pytest.fixture
def snapshot(repository: Path) -> Path:
    return repository / "snapshots" / COMMIT


def test_a_snapshot_is_read_and_called_after_its_repository(
    repository: Path, snapshot: Path, tmp_path: Path
) -> None:
    for path in (snapshot, snapshot / "model.safetensors", repository):
        assert locate(str(path)).config == CONFIG
        model = load_model(path, arch=SMALL, input_size=(3, 8, 8))
        assert model.file is not None
        assert model.file.path == str(snapshot / "model.safetensors")
        assert default_name(model) == "cats"
    alone = load_model(tmp_path / "whole.safetensors", arch=SMALL, input_size=(3, 8, 8))
    assert alone.digest == model.digest


def test_blobs_that_repositories_share_are_followed(repository: Path, snapshot: Path) -> None:
    blob = (snapshot / "model.safetensors").resolve()
    shared = repository.parent / "blobs" / blob.name[:2] / blob.name
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(Path("../../blobs") / blob.name[:2] / blob.name)
    assert read_weights(str(snapshot)).file.format == "safetensors"


def test_a_folder_in_a_snapshot_has_the_same_blobs(repository: Path, tmp_path: Path) -> None:
    kept(repository, OTHER, "fp32/net.safetensors", (tmp_path / "whole.safetensors").read_bytes())
    assert read_weights(str(repository / "snapshots" / OTHER / "fp32")).file.size > 0


@pytest.mark.parametrize(
    "target",
    [
        "models--theirs--dogs/blobs/1",
        "models--ours--cats/refs/1",
        "models--ours--cats/snapshots/other/1",
        "blobs/1",
        "blobs/aa/bb/1",
        "1",
    ],
)
def test_links_elsewhere_are_refused(repository: Path, snapshot: Path, target: str) -> None:
    link = snapshot / "model.safetensors"
    outside = repository.parent / target
    outside.parent.mkdir(parents=True, exist_ok=True)
    link.resolve().rename(outside)
    link.unlink()
    link.symlink_to(outside)
    with pytest.raises(UnsafeFile, match="--follow-symlinks"):
        read_weights(str(snapshot))


def test_a_blob_that_is_a_link_elsewhere_is_refused(snapshot: Path, tmp_path: Path) -> None:
    blob = (snapshot / "model.safetensors").resolve()
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFile, match="--follow-symlinks"):
        read_weights(str(snapshot))


def test_blobs_that_are_a_link_elsewhere_are_refused(repository: Path, snapshot: Path) -> None:
    elsewhere = repository.parent / "elsewhere"
    (repository / "blobs").rename(elsewhere)
    (repository / "blobs").symlink_to(elsewhere)
    with pytest.raises(UnsafeFile, match="--follow-symlinks"):
        read_weights(str(snapshot))


def test_a_folder_of_another_name_has_no_blobs(repository: Path) -> None:
    renamed = repository.rename(repository.parent / "cats")
    with pytest.raises(UnsafeFile, match="--follow-symlinks"):
        read_weights(str(renamed / "snapshots" / COMMIT))


def test_what_main_stood_for_is_taken_of_several_snapshots(
    repository: Path, snapshot: Path
) -> None:
    kept(repository, OTHER, "model.safetensors", b"another")
    assert locate(str(repository)).path == str(snapshot / "model.safetensors")
    for text in ("", "../../..", "gone"):
        (repository / "refs" / "main").write_text(text)
        with pytest.raises(IncompatibleModel, match=f"found {COMMIT}, {OTHER}; name the one"):
            locate(str(repository))


def test_a_snapshot_that_is_a_link_elsewhere_is_refused(repository: Path, snapshot: Path) -> None:
    snapshot.rename(repository.parent / "elsewhere")
    snapshot.symlink_to(repository.parent / "elsewhere")
    with pytest.raises(UnsafeFile, match="expected a folder, got a symbolic link"):
        locate(str(repository))


def test_a_repository_without_a_snapshot_is_refused(repository: Path, snapshot: Path) -> None:
    snapshot.rename(repository / "gone")
    with pytest.raises(MalformedFile, match="no snapshot in it"):
        locate(str(repository))


def test_a_file_that_was_not_downloaded_is_missing(snapshot: Path) -> None:
    (snapshot / "model.safetensors").resolve().unlink()
    with pytest.raises(MalformedFile, match="link to nothing; download"):
        read_weights(str(snapshot))
