from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fingerprint.errors import IncompatibleModel, MalformedFile, UnsafeFile
from fingerprint.formats.folder import locate
from fingerprint.formats.weights_file import read_weights
from tests.fingerprint.network.networks import small


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    save_file(small().state_dict(), path / "model.safetensors")
    (path / "config.json").write_text(json.dumps({"architecture": "resnet10t"}))
    return path


def test_weights_and_configuration_are_found(folder: Path) -> None:
    place = locate(str(folder))
    assert Path(place.weights) == (folder / "model.safetensors").resolve()
    assert place.config == {"architecture": "resnet10t"}


@pytest.mark.parametrize("other", ["pytorch_model.bin", "model.pth", "best.ckpt", "a.safetensors"])
def test_several_weights_files_are_refused_unless_one_is_named(folder: Path, other: str) -> None:
    torch.save(small().state_dict(), folder / other)
    with pytest.raises(IncompatibleModel, match="name the one that is meant") as caught:
        locate(str(folder))
    assert other in str(caught.value)
    assert "model.safetensors" in str(caught.value)
    named = locate(str(folder / other))
    assert Path(named.weights) == folder / other
    assert named.config == {"architecture": "resnet10t"}


@pytest.mark.parametrize("other", ["optimizer.pt", "training_args.bin", "rng_state_0.pth"])
def test_a_trainers_other_files_are_no_weights(folder: Path, other: str) -> None:
    torch.save({}, folder / other)
    assert locate(str(folder)).weights.endswith("model.safetensors")


def test_one_weights_file_of_any_name_is_read(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "resnet_best.pth")
    assert read_weights(str(tmp_path)).file.format == "torch"


@pytest.mark.parametrize("text", ["{", '{"unrelated": 1}', "[]"])
def test_a_foreign_configuration_beside_a_named_file_does_not_matter(
    folder: Path, text: str
) -> None:
    (folder / "config.json").write_text(text)
    assert locate(str(folder / "model.safetensors")).config == {}


def test_pytorch_model_bin_is_read(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "pytorch_model.bin")
    assert read_weights(str(tmp_path)).file.format == "torch"


def test_a_link_out_of_the_folder_is_refused_by_default(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)
    with pytest.raises(UnsafeFile, match="--follow-symlinks"):
        read_weights(str(folder))


def test_following_a_link_is_recorded(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)
    weights = read_weights(str(folder), follow_symlinks=True)
    assert str(outside) in weights.warnings[0]


def test_a_configuration_linked_to_a_system_file_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(UnsafeFile, match="symbolic link"):
        locate(str(folder))


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "blob").mkdir()
    (folder / "model.safetensors").rename(folder / "blob" / "1")
    (folder / "model.safetensors").symlink_to("blob/1")
    assert read_weights(str(folder)).file.format == "safetensors"


def test_a_linked_folder_is_followed_as_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder)
    assert locate(str(tmp_path / "alias")).weights.endswith("model.safetensors")


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match=r"expected model\.safetensors.*found nothing"):
        locate(str(tmp_path))


@pytest.mark.parametrize("shard", [None, "pytorch_model-00001-of-00002.bin"])
def test_pickled_shards_are_refused_with_the_way_out(tmp_path: Path, shard: str | None) -> None:
    (tmp_path / "pytorch_model.bin.index.json").write_text("{}")
    if shard is not None:
        torch.save(small().state_dict(), tmp_path / shard)
    with pytest.raises(MalformedFile, match=r"merge them .*save_pretrained"):
        locate(str(tmp_path))


def test_a_link_to_nothing_is_refused_as_a_file_that_is_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("never_downloaded")
    with pytest.raises(MalformedFile, match="not there or a link to nothing; download"):
        read_weights(str(folder))


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "\xff"])
def test_a_broken_configuration_is_malformed(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin1"))
    with pytest.raises(MalformedFile, match="JSON object"):
        locate(str(folder))
