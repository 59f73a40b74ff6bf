"""The example is a working pipeline step: it stops what is ours and what cannot be told."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fingerprint import load_model
from fingerprint.lab.modifications import quantised
from registry import Registry
from tests.cli.fakes import candidate, verification
from tests.support.digits import network

EXAMPLE = Path(__file__).parents[2] / "examples" / "audit_step.py"
ARCH = "fingerprint.lab.networks:cnn"
SIZE = (1, 16, 16)


@pytest.fixture(scope="module")
def step() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_step", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def save(folder: Path, name: str, module: nn.Module) -> Path:
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry ``ours.db`` with one model, and the weights of three suspects."""
    folder = tmp_path_factory.mktemp("audit")
    source = network("cnn")
    with Registry(folder / "ours.db") as registry:
        path = save(folder, "ours", source)
        model = load_model(path, arch=ARCH, input_size=SIZE)
        registry.register(model, from_scratch=True)
    save(folder, "copy", source)
    save(folder, "int8", quantised(source))
    save(folder, "stranger", network("cnn", 1))
    return folder


def audit(step: ModuleType, folder: Path, suspect: str, **changes: Any) -> tuple[int, Any]:
    """Runs the step; returns its exit code and the evidence it wrote."""
    evidence = folder / "evidence.json"
    evidence.unlink(missing_ok=True)
    arguments = {"registry": folder / "ours.db", "arch": ARCH, "input_size": SIZE} | changes
    code = step.audit(folder / suspect, evidence=evidence, **arguments)
    assert not list(folder.glob("*.part"))
    return code, json.loads(evidence.read_text())


@pytest.mark.parametrize(
    ("suspect", "code", "verdict", "best"),
    [
        ("copy", 1, "same", "ours"),
        ("int8", 1, "derived", "ours"),
        ("stranger", 0, "independent", None),
    ],
)
def test_only_an_independent_model_passes_and_what_descends_from_ours_is_ours(
    step: ModuleType, folder: Path, suspect: str, code: int, verdict: str, best: str | None
) -> None:
    found, evidence = audit(step, folder, f"{suspect}.safetensors")
    assert found == code
    assert (evidence["verdict"], evidence["best"]) == (verdict, best)
    assert evidence["passed"] is (code == 0)
    assert evidence["file"].endswith(f"{suspect}.safetensors")
    (candidate,) = evidence["candidates"]
    assert sum(one["used"] for one in candidate["findings"] if one["test"] == "harm_ratio") == 24


def test_what_descends_from_ours_or_has_its_weights_is_ours(step: ModuleType) -> None:
    for changes in ({"relation": "descends"}, {"identical_weights": True}):
        one = candidate("ours", "inconclusive", **changes)
        assert step.judged(verification(one)) == step.OURS
    shared = candidate("ours", "derived", relation="shares_origin")
    assert step.judged(verification(shared)) == step.INCONCLUSIVE


def test_a_refused_file_fails_and_its_reason_is_on_record(step: ModuleType, folder: Path) -> None:
    (folder / "cut.safetensors").write_bytes((folder / "copy.safetensors").read_bytes()[:-100])
    code, evidence = audit(step, folder, "cut.safetensors")
    assert code == 3
    assert (evidence["verdict"], evidence["passed"]) == (None, False)
    assert "cut.safetensors" in evidence["reason"]


def test_a_mistyped_registry_fails_instead_of_finding_nobody(
    step: ModuleType, folder: Path
) -> None:
    code, evidence = audit(step, folder, "copy.safetensors", registry=folder / "typo.db")
    assert (code, evidence["passed"]) == (5, False)
    assert not (folder / "typo.db").exists()


def test_a_dead_network_does_not_pass(step: ModuleType, folder: Path) -> None:
    dead = {key: torch.zeros_like(value) for key, value in network("cnn").state_dict().items()}
    save_file(dead, folder / "dead.safetensors")
    code, evidence = audit(step, folder, "dead.safetensors")
    assert (code, evidence["verdict"]) == (4, "inconclusive")


def test_the_command_line_says_why_on_stderr(
    step: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = step.main(
        [
            str(folder / "int8.safetensors"),
            *("--registry", str(folder / "ours.db")),
            *("--evidence", str(folder / "int8.json")),
            *("--arch", ARCH, "--input-size", "1,16,16"),
        ]
    )
    assert code == 1
    assert capsys.readouterr().err.startswith("failed: perturbations solved for the source")
    assert json.loads((folder / "int8.json").read_text())["best"] == "ours"
