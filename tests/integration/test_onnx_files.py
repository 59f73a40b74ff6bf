"""ONNX files through the command line: registered, verified, and read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from cli.main import app
from fingerprint import load_onnx_model
from fingerprint.errors import InputRefused
from registry import Registry
from tests.support.digits import network
from tests.support.extracted import SEED
from tests.support.onnx_files import export, quantised

pytestmark = pytest.mark.onnx
pytest.importorskip("onnx2pytorch", reason="pip install 'nullprint[onnx]'")


@pytest.fixture
def fp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs ``fp`` with a registry of its own, of a known seed, and returns its JSON document."""
    monkeypatch.setattr("secrets.token_hex", lambda size: SEED)

    def run(*arguments: object, code: int = 0) -> Any:
        given = [*map(str, arguments), "--registry", str(tmp_path / "r.db"), "--json"]
        result = CliRunner().invoke(app, given, prog_name="fp")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return run


def test_a_registered_onnx_file_is_found_in_weights_and_in_its_int8_copy_and_by_policy(
    fp: Callable[..., Any], tmp_path: Path
) -> None:
    plain = export(network("cnn"), tmp_path / "ours.onnx", dynamo=True)
    registered = fp("register", plain, "--from-scratch")
    assert (registered["name"], registered["architecture"]) == ("ours", "onnx")
    weights = tmp_path / "copy.safetensors"
    save_file(network("cnn").state_dict(), weights)
    how = ("--arch", "fingerprint.lab.networks:cnn", "--input-size", "1,16,16")
    found = fp("verify", weights, *how, "--forbid", "ours", code=1)
    assert (found["verdict"], found["best"]) == ("same", "ours")
    assert found["weights"][0]["verdict"] == "shared"
    found = fp("verify", quantised(plain, tmp_path / "app.onnx"), "--forbid", "ours", code=1)
    assert (found["verdict"], found["candidates"][0]["relation"]) == ("derived", "descends")
    assert found["suspect"]["architecture"] == "onnx"
    found = fp("verify", export(network("cnn", 1), tmp_path / "other.onnx"), "--forbid", "ours")
    assert found["verdict"] == "independent"


def test_what_has_no_gradients_is_registered_by_its_answers_and_said_so(
    fp: Callable[..., Any], tmp_path: Path
) -> None:
    plain = export(network("cnn"), tmp_path / "plain.onnx", dynamo=True)
    int8 = quantised(plain, tmp_path / "int8.onnx")
    registered = fp("register", int8)
    assert (registered["probes"], registered["panel"]) == (0, 96)
    assert any("no gradients can be had of it" in line for line in registered["warnings"])
    assert fp("verify", int8)["verdict"] == "same"
    child = fp("register", plain, "--name", "child", "--parent", "int8")
    assert any("not made against 'int8'" in line for line in child["warnings"])


def test_it_is_read_again_as_it_was_and_not_with_other_numbers(tmp_path: Path) -> None:
    options: dict[str, Any] = {"dynamo": True, "dynamic": False, "external_data": True}
    file = export(network("cnn"), tmp_path / "a.onnx", **options)
    with Registry(tmp_path / "r.db") as registry:
        registered = registry.register(load_onnx_model(file), name="ours", answers_only=True)
        assert registry.load_again("ours").digest == registered.model_digest
        export(network("cnn", 1), tmp_path / "b.onnx", **options)
        (tmp_path / "b.onnx.data").replace(tmp_path / "a.onnx.data")
        with pytest.raises(InputRefused, match="has changed since"):
            registry.load_again("ours")
