"""Folders as MLflow 3.17 saves them: what is data in them is read, the rest refused by name."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from fingerprint.errors import IncompatibleModel, InputRefused, MalformedFile, UnsafeFile
from fingerprint.formats.folder import PREPROCESSOR, locate, network_file
from fingerprint.formats.weights_file import read_weights
from fingerprint.network import load_model
from registry.names import default_name
from tests.fingerprint.network.networks import SMALL, Runs, equal, small

PYTORCH = {"model_data": "data", "pytorch_version": "2.14.1", "code": None}
TRANSFORMERS = {"model_binary": "model", "components": ["image_processor"], "code": None}
ONNX = {"data": "model.onnx", "onnx_version": "1.23.2", "code": None}
SKLEARN = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}


def saved(folder: Path, **flavors: Any) -> Path:
    """Writes what MLflow writes beside the network."""
    folder.mkdir(exist_ok=True)
    every = {"python_function": {"env": {"conda": "conda.yaml"}, "loader_module": "x"}, **flavors}
    more = {"mlflow_version": "3.17.2", "utc_time_created": "2026-11-26 14:29:47.564499"}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": every, **more}))
    for name in ("conda.yaml", "python_env.yaml", "requirements.txt"):
        (folder / name).write_text("torch\n")
    (folder / "data").mkdir(exist_ok=True)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cats"


def test_a_state_dict_in_a_pytorch_folder_is_read(folder: Path) -> None:
    saved(folder, pytorch=PYTORCH)
    torch.save(small().state_dict(), folder / "data" / "model.pth")
    (folder / "data" / "pickle_module_info.txt").write_text("mlflow.pytorch.pickle_module")
    assert equal(read_weights(str(folder)).entries[0].tensors, small().state_dict())
    model = load_model(folder, arch=SMALL, input_size=(3, 8, 8))
    assert default_name(model) == "cats"


def test_a_pickled_module_is_refused_with_the_way_out(folder: Path) -> None:
    saved(folder, pytorch=PYTORCH)
    torch.save(small(), folder / "data" / "model.pth")
    told = r"whole pickled module.*torch\.save\(mlflow\.pytorch\.load_model\(folder\)\.state_dict"
    with pytest.raises(UnsafeFile, match=told):
        read_weights(str(folder))


def test_a_pickle_that_runs_something_is_not_unpickled(folder: Path, tmp_path: Path) -> None:
    saved(folder, pytorch=PYTORCH)
    mark = tmp_path / "ran"
    torch.save(Runs(mark), folder / "data" / "model.pth")
    with pytest.raises(UnsafeFile, match=r"posix\.system|nt\.system"):
        read_weights(str(folder))
    assert not mark.exists()


def test_an_exported_program_is_refused_with_its_way_out(folder: Path) -> None:
    saved(folder, pytorch=PYTORCH)
    with zipfile.ZipFile(folder / "data" / "model.pt2", "w") as archive:
        for name in ("data/weights/weight_0", "models/model.json", "archive_format", "byteorder"):
            archive.writestr(f"model/{name}", "pt2")
    with pytest.raises(UnsafeFile, match=r"exported program.*torch\.export\.load\(path\)") as told:
        read_weights(str(folder))
    assert "mlflow" not in str(told.value)
    assert network_file(str(folder)) == str(folder / "data" / "model.pt2")


def test_code_that_lies_elsewhere_is_not_followed(folder: Path, tmp_path: Path) -> None:
    saved(folder, pytorch=PYTORCH)
    torch.jit.trace(small().eval(), torch.zeros(2, 3, 8, 8)).save(tmp_path / "elsewhere")
    (folder / "data" / "model.pth").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFile, match="--follow-symlinks"):
        network_file(str(folder))


def test_a_torchscript_archive_is_refused(folder: Path) -> None:
    saved(folder, pytorch=PYTORCH)
    torch.jit.trace(small().eval(), torch.zeros(2, 3, 8, 8)).save(folder / "data" / "model.pth")
    with pytest.raises(UnsafeFile, match="TorchScript"):
        read_weights(str(folder))
    assert network_file(str(folder)) == str(folder / "data" / "model.pth")


def test_a_transformers_folder_is_that_of_the_hub_inside(folder: Path) -> None:
    saved(folder, transformers=TRANSFORMERS)
    (folder / "model").mkdir()
    save_file(small().state_dict(), folder / "model" / "model.safetensors")
    (folder / "model" / "config.json").write_text(json.dumps({"model_type": "vit"}))
    processor = folder / "components" / "image_processor"
    processor.mkdir(parents=True)
    (processor / f"{PREPROCESSOR}.json").write_text(json.dumps({"image_mean": [0.5]}))
    place = locate(str(folder))
    assert place.config == {"model_type": "vit", PREPROCESSOR: {"image_mean": [0.5]}}
    assert place.path == str(folder / "model" / "model.safetensors")


def test_an_onnx_folder_stands_for_its_network(folder: Path) -> None:
    saved(folder, onnx=ONNX)
    (folder / "model.onnx").write_bytes(b"\x08\x08\x12\x07pytorch")
    place = locate(str(folder))
    assert place.path == str(folder / "model.onnx")
    assert Path(place.weights) == (folder / "model.onnx").resolve()
    assert network_file(str(folder)) == place.path
    (folder / "model.onnx").rename(folder.parent / "model.onnx")
    (folder / "model.onnx").symlink_to(folder.parent / "model.onnx")
    with pytest.raises(UnsafeFile, match="--follow-symlinks"):
        network_file(str(folder))


def test_a_network_that_is_code_is_what_its_folder_stands_for(folder: Path) -> None:
    saved(folder, pytorch=PYTORCH)
    script = folder / "data" / "model.pth"
    torch.jit.trace(small().eval(), torch.zeros(2, 3, 8, 8)).save(script)
    assert network_file(str(folder)) == str(script)
    with zipfile.ZipFile(folder / "data" / "model.pt2", "w") as archive:
        archive.writestr("model/archive_format", "pt2")
    assert network_file(str(folder)) == str(script)  # as for whoever reads weights
    script.rename(folder.parent / "model.pth")
    assert network_file(str(folder)) == str(folder / "data" / "model.pt2")
    script.symlink_to(folder.parent / "model.pth")
    for read in (network_file, read_weights):
        with pytest.raises(UnsafeFile, match="--follow-symlinks"):
            read(str(folder))
    assert network_file(str(folder), follow_symlinks=True) == str(script)


def test_other_paths_stand_for_themselves(folder: Path) -> None:
    saved(folder, pytorch=PYTORCH)
    for path in (folder, folder / "data", folder / "MLmodel", folder / "nothing"):
        assert network_file(str(path)) == str(path)
    torch.save(small().state_dict(), folder / "data" / "model.pth")
    assert network_file(str(folder)) == str(folder)


@pytest.mark.parametrize("flavor", ["sklearn", "tensorflow", "xgboost", "keras", "evil\x85\x1b[2J"])
def test_other_flavors_are_refused_by_name(folder: Path, flavor: str) -> None:
    saved(folder, **{flavor: SKLEARN})
    (folder / "model.pkl").write_bytes(pickle.dumps([1]))
    told = r"expected an MLflow model of flavor pytorch, onnx or transformers, got "
    with pytest.raises(IncompatibleModel, match=told + flavor[:4]) as caught:
        read_weights(str(folder))
    assert str(caught.value).isprintable()


def test_a_model_of_python_functions_alone_is_refused(folder: Path) -> None:
    saved(folder)
    with pytest.raises(IncompatibleModel, match="got python_function"):
        read_weights(str(folder))


@pytest.mark.parametrize(
    "place", ["../other", "/etc", "data/../..", "a\0b", "a\\b", ["x"], ".", ""]
)
def test_a_place_outside_the_folder_is_refused(folder: Path, place: Any) -> None:
    for flavor in ({"pytorch": PYTORCH | {"model_data": place}}, {"onnx": ONNX | {"data": place}}):
        saved(folder, **flavor)
        with pytest.raises((UnsafeFile, IncompatibleModel), match="expected"):
            read_weights(str(folder))


def test_a_network_that_is_not_there_is_missing(folder: Path) -> None:
    for flavor in ({"transformers": TRANSFORMERS}, {"onnx": ONNX}, {"pytorch": PYTORCH}):
        saved(folder, **flavor)
        with pytest.raises(MalformedFile, match=r"download the folder|expected model\.safetensors"):
            read_weights(str(folder))


def test_a_model_whose_weights_were_left_on_the_hub_says_so(folder: Path) -> None:
    saved(folder, transformers={"source_model_name": "google/vit", "model_binary": None})
    with pytest.raises(IncompatibleModel, match="expected model_binary to say where"):
        read_weights(str(folder))


@pytest.mark.parametrize("member", ["MLmodel", "data/model.pth"])
def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path: Path, member: str) -> None:
    saved(folder, pytorch=PYTORCH)
    torch.save(small().state_dict(), folder / "data" / "model.pth")
    (folder / member).rename(tmp_path / "elsewhere")
    (folder / member).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFile, match="--follow-symlinks"):
        read_weights(str(folder))
    assert "elsewhere" in read_weights(str(folder), follow_symlinks=True).warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "flavors: 1",
        "flavors: {}",
        "flavors: {[a]: b}",
        "flavors: &a {pytorch: *a}",
        "flavors: {onnx: !!python/object/apply:os.system [id]}",
        "\x00",
        "\xff",
        "[" * 60_000,
        "flavors:\n" + "- " * 30_000,
        "a: &a [x, x]\n" + "".join(f"b{i}: &a {{<<: [*a, *a]}}\n" for i in range(2000)),
        "#" * 2**17,
    ],
    ids=range(13),
)
def test_a_hostile_description_is_refused_in_one_line(folder: Path, text: str) -> None:
    saved(folder)
    (folder / "MLmodel").write_bytes(text.encode("latin1"))
    with pytest.raises(InputRefused) as caught:
        read_weights(str(folder))
    assert str(caught.value).isprintable()
