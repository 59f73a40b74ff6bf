"""``fp register FOLDER`` and ``fp verify FOLDER``: of the hub's cache, in shards, from MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from tests.integration.test_end_to_end import ARCH, REGISTERING, fp, verify
from tests.support.digits import network

COMMIT = "ab" * 20


def cached(hub: Path) -> Path:
    """Keeps the network in two shards, as the hub's library keeps a snapshot of them."""
    repository = hub / "models--ours--digits-cnn"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / COMMIT
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    state = network("cnn").state_dict()
    files = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    places = {name: files[index % 2] for index, name in enumerate(state)}
    for file in files:
        save_file({key: state[key] for key, at in places.items() if at == file}, blobs / file[:11])
        (snapshot / file).symlink_to(Path("../../blobs") / file[:11])
    (blobs / "index").write_text(json.dumps({"weight_map": places}))
    (snapshot / "model.safetensors.index.json").symlink_to("../../blobs/index")
    return repository


def mlflow(folder: Path) -> Path:
    """Saves the weights of the network where MLflow has a network of torch."""
    (folder / "data").mkdir(parents=True)
    torch.save(network("cnn").state_dict(), folder / "data" / "model.pth")
    (folder / "MLmodel").write_text(
        yaml.safe_dump({"flavors": {"pytorch": {"model_data": "data"}}})
    )
    return folder


@pytest.mark.slow
def test_a_network_is_the_same_in_whatever_folder(tmp_path: Path) -> None:
    registry = tmp_path / "registry.db"
    repository = cached(tmp_path / "hub")
    registered = fp(registry, "register", repository, *REGISTERING)
    assert registered.code == 0, registered.err
    assert registered.document["name"] == "digits-cnn"
    save_file(network("cnn").state_dict(), tmp_path / "one.safetensors")
    for suspect in (
        repository / "snapshots" / COMMIT,
        tmp_path / "one.safetensors",
        mlflow(tmp_path / "saved"),
    ):
        found = verify(registry, suspect).document
        assert found["verdict"] == "same"
        digest = found["suspect"]["model_digest"]
        assert digest == registered.document["model_digest"]
    again = fp(registry, "register", tmp_path / "saved", *REGISTERING)
    assert again.document["model_digest"] == digest
    # It is loaded again from where it was, with links that lead to blobs.
    assert fp(registry, "register", "--again", "digits-cnn", "--arch", ARCH).code == 0


def test_a_folder_that_is_refused_ends_in_one_line(tmp_path: Path) -> None:
    folder = mlflow(tmp_path / "saved")
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {"sklearn": {}}}))
    (folder / "model.pkl").write_bytes(b"cos\nsystem\n.")
    refused = fp(tmp_path / "registry.db", "register", folder)
    assert refused.code == 3
    assert refused.out == ""
    assert "got sklearn" in " ".join(refused.err.split())
    assert len(refused.err.strip().splitlines()) == 1
