"""TensorFlow Lite, Keras and OpenVINO files: what they answer, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fingerprint.errors import EnvironmentFailure, InputRefused, UnsafeFile
from fingerprint.sandbox.backends import BACKENDS, trouble
from fingerprint.suspects import ProgramSuspect, load_program
from tests.support import network_files
from tests.support.digits import network

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
    )
]
formats = pytest.mark.formats
held = pytest.mark.skipif(all(map(trouble, BACKENDS)), reason="no sandbox holds on this machine")

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 1, 16, 16), dtype=np.uint8)


def needs(package: str, extra: str) -> None:
    pytest.importorskip(package, reason=f"pip install 'nullprint[{extra}]'")


def answers() -> np.ndarray[Any, Any]:
    with torch.no_grad():
        given: np.ndarray[Any, Any] = network("cnn")(torch.from_numpy(PIXELS) / 255).numpy()
    return given


def require_alike(suspect: ProgramSuspect, layout: str, *, atol: float = 1e-4) -> None:
    np.testing.assert_allclose(suspect.answer(PIXELS), answers(), atol=atol)
    facts = suspect.facts()
    assert facts["sandbox"] in {one.name for one in BACKENDS}
    assert (facts["graph"]["layout"], facts["model_digest"]) == (layout, None)


@formats
@held
@pytest.mark.parametrize("batch", [1, -1])
def test_a_tflite_file_answers_as_the_network_does(batch: int, tmp_path: Path) -> None:
    needs("ai_edge_litert", "tflite")
    path = network_files.tflite_file(network("cnn"), tmp_path / "a.tflite", batch=batch)
    suspect = load_program(path)
    require_alike(suspect, "nhwc")
    assert suspect.together == (1 if batch == 1 else 16)


@formats
@held
def test_numbers_of_8_bits_are_taken_and_given_as_what_they_stand_for(tmp_path: Path) -> None:
    needs("ai_edge_litert", "tflite")
    path = network_files.tflite_file(network("cnn"), tmp_path / "a.tflite", eight_bits=True)
    require_alike(load_program(path), "nhwc", atol=0.13)  # half a step of its answers


@formats
@held
def test_a_tflite_file_with_an_operator_of_its_own_is_refused_and_said_so(tmp_path: Path) -> None:
    needs("ai_edge_litert", "tflite")
    path = network_files.tflite_file(network("cnn"), tmp_path / "a.tflite", custom="Evil")
    with pytest.raises(UnsafeFile, match=r"operators of TensorFlow Lite, got others.*Evil"):
        load_program(path)


@formats
@held
def test_an_openvino_network_answers_as_the_network_does(tmp_path: Path) -> None:
    needs("openvino", "openvino")
    path = network_files.openvino_file(network("cnn"), tmp_path / "a.xml")
    suspect = load_program(path)
    require_alike(suspect, "nchw")
    before = suspect.network.file.sha256
    weights = bytearray((tmp_path / "a.bin").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "a.bin").write_bytes(weights)
    assert load_program(path).network.file.sha256 != before


@formats
@held
def test_an_openvino_network_without_its_weights_or_with_an_operator_of_its_own_is_refused(
    tmp_path: Path,
) -> None:
    needs("openvino", "openvino")
    path = network_files.openvino_file(network("cnn"), tmp_path / "a.xml")
    weights = (tmp_path / "a.bin").read_bytes()
    (tmp_path / "a.bin").write_bytes(weights[:100])
    with pytest.raises(InputRefused, match="OpenVINO does not take it: Incorrect weights"):
        load_program(path)
    (tmp_path / "a.bin").write_bytes(weights)
    known = b'type="Convolution" version="opset1"'
    path.write_bytes(path.read_bytes().replace(known, b'type="Evil" version="extension"'))
    with pytest.raises(UnsafeFile, match=r"operators of OpenVINO, got others.*Evil"):
        load_program(path)
    (tmp_path / "a.bin").unlink()
    with pytest.raises(InputRefused, match=r"expected its weights beside it, in 'a\.bin'"):
        load_program(path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.bin").write_bytes(weights)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.xml").write_bytes(path.read_bytes())
    (folder / "a.bin").symlink_to(tmp_path / "elsewhere" / "a.bin")
    with pytest.raises(UnsafeFile, match="a symbolic link out of the model folder"):
        load_program(folder / "a.xml")


@formats
@held
@pytest.mark.parametrize("name", ["a.keras", "a.h5"])
def test_a_keras_network_answers_as_the_network_does(name: str, tmp_path: Path) -> None:
    needs("keras", "keras")
    require_alike(
        load_program(network_files.keras_network(network("cnn"), tmp_path / name)), "nhwc"
    )


def with_description(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Writes a Keras archive anew whose description was changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def layer(module: str, name: str, **config: Any) -> Callable[[dict[str, Any]], None]:
    """Puts another layer in place of the last."""
    described = {"module": module, "class_name": name, "config": config, "registered_name": None}

    def change(network: dict[str, Any]) -> None:
        network["config"]["layers"][-1] = described

    return change


@formats
@held
@pytest.mark.parametrize("name", ["a.keras", "a.h5"])
def test_a_keras_network_with_a_function_that_writes_a_file_is_refused(
    name: str, tmp_path: Path
) -> None:
    needs("keras", "keras")
    import keras

    target = tmp_path / "out"
    where = str(target)  # Keras keeps what a function refers to as JSON
    writes = keras.layers.Lambda(lambda x: x * Path(where).write_text("x"))
    folder = tmp_path / "in"
    folder.mkdir()
    path = network_files.keras_network(network("cnn"), folder / name, writes)
    target.unlink()  # Keras ran it when the network was made
    with pytest.raises(UnsafeFile, match="expected layers of Keras, got Lambda"):
        load_program(path)
    assert os.listdir(tmp_path) == ["in"]


@formats
@held
def test_a_keras_network_with_a_layer_from_another_module_is_refused(tmp_path: Path) -> None:
    needs("keras", "keras")
    folder = tmp_path / "in"
    folder.mkdir()
    path = network_files.keras_network(network("cnn"), folder / "a.keras")
    command = f"touch {tmp_path / 'out'}"
    with_description(path, layer("os", "system", command=command))
    with pytest.raises(UnsafeFile, match=r"expected layers of Keras, got os\.system"):
        load_program(path)
    with_description(path, layer("keras.layers", "Nonesuch"))
    with pytest.raises(InputRefused, match="Keras does not take it") as caught:
        load_program(path)
    assert str(caught.value).isprintable()
    assert os.listdir(tmp_path) == ["in"]


@formats
@held
def test_a_keras_network_does_not_read_the_files_that_it_points_to(tmp_path: Path) -> None:
    needs("keras", "keras")
    import h5py

    path = network_files.keras_network(network("cnn"), tmp_path / "a.h5")
    secret = tmp_path / "secret"
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file["model_weights"].visit(names.append)
        name = next(one for one in names if one.endswith("bias"))
        known = file["model_weights"][name]
        shape, dtype = known.shape, known.dtype
        secret.write_bytes(known[:].tobytes())
        del file["model_weights"][name]
        stored = [(str(secret), 0, secret.stat().st_size)]
        file["model_weights"].create_dataset(name, shape, dtype, external=stored)
    with pytest.raises(InputRefused, match="Keras does not take it"):
        load_program(path)


@formats
@held
def test_weights_without_layers_are_no_network(tmp_path: Path) -> None:
    needs("keras", "keras")
    import h5py

    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layer"] = np.zeros(3)
    with pytest.raises(InputRefused, match=r"weights without their layers.*model\.save"):
        load_program(tmp_path / "w.h5")


HEADS = {
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(64), "ai_edge_litert"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(64), "keras"),
    "openvino": (b'<?xml version="1.0"?>\n<net name="x" version="11">', "openvino"),
}


@pytest.mark.parametrize("extra", HEADS)
def test_what_is_not_installed_is_named(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, package = HEADS[extra]
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )
    path = tmp_path / "any"
    path.write_bytes(data)
    with pytest.raises(EnvironmentFailure, match=rf"{package} is not installed.*\[{extra}\]"):
        load_program(path)


@formats
@held
@pytest.mark.parametrize("extra", HEADS)
def test_what_is_no_such_file_inside_is_refused_in_a_line(extra: str, tmp_path: Path) -> None:
    data, package = HEADS[extra]
    needs(package, extra)
    path = tmp_path / "any"
    path.write_bytes(data)
    (tmp_path / "any.bin").write_bytes(bytes(64))
    with pytest.raises(InputRefused, match="does not take it: ") as caught:
        load_program(path)
    assert str(caught.value).isprintable()
