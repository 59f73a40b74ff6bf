"""A network as other libraries write it, through the command line: recognised in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from cli.main import app
from fingerprint.sandbox.backends import BACKENDS, trouble
from tests.support import network_files
from tests.support.digits import network
from tests.support.extracted import SEED

pytestmark = [
    pytest.mark.formats,
    pytest.mark.skipif(all(map(trouble, BACKENDS)), reason="no sandbox holds on this machine"),
]

FORMATS: dict[str, tuple[str, str, Callable[..., Path]]] = {
    "app.tflite": ("ai_edge_litert", "tflite", network_files.tflite_file),
    "app.xml": ("openvino", "openvino", network_files.openvino_file),
    "app.keras": ("keras", "keras", network_files.keras_network),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry that has the network, as safetensors."""
    folder = tmp_path_factory.mktemp("registry")
    weights = folder / "ours.safetensors"
    save_file(network("cnn").state_dict(), weights)
    how = ("--arch", "fingerprint.lab.networks:cnn", "--input-size", "1,16,16", "--from-scratch")
    # As many as answers of 8 bits need, whatever the processor made of the network.
    how += ("--probes", "48")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secrets.token_hex", lambda size: SEED)
        fp(folder / "r.db", "register", weights, *how)
    return folder / "r.db"


def fp(registry: Path, *arguments: object, code: int = 0) -> Any:
    """Runs ``fp`` and returns its JSON document."""
    given = [*map(str, arguments), "--registry", str(registry), "--json"]
    result = CliRunner().invoke(app, given, prog_name="fp")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", FORMATS)
def test_a_copy_that_another_library_wrote_is_the_same_and_another_network_is_not(
    name: str, registry: Path, tmp_path: Path
) -> None:
    package, extra, write = FORMATS[name]
    pytest.importorskip(package, reason=f"pip install 'nullprint[{extra}]'")
    copy = write(network("cnn"), tmp_path / name)
    found = fp(registry, "verify", copy, "--forbid", "ours", code=1)
    assert (found["verdict"], found["best"]) == ("same", "ours")
    assert found["suspect"]["sandbox"] in {one.name for one in BACKENDS}
    assert found["weights"] == []
    other = write(network("cnn", 1), tmp_path / f"other-{name}")
    assert fp(registry, "verify", other, "--forbid", "ours")["verdict"] == "independent"


def test_one_whose_answers_have_8_bits_is_derived(registry: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install 'nullprint[tflite]'")
    copy = network_files.tflite_file(network("cnn"), tmp_path / "app.tflite", eight_bits=True)
    found = fp(registry, "verify", copy, "--forbid", "ours", code=1)
    assert found["verdict"] in ("derived", "same")
