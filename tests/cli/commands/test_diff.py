"""``fp diff``: files and names, as text, document and picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fingerprint.lab.modifications import pruned
from fingerprint.network.loading import load_model
from tests.cli.fakes import HOSTILE


def _module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()).append(
        nn.Linear(32, 3)
    )


@pytest.fixture
def diff(fp: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs ``fp diff`` on a network and its pruned copy."""
    import fingerprint.network

    made = {"a.pt": _module(), "b.pt": pruned(_module(), share=0.5)}

    def load(path: Path, **options: Any) -> Any:
        return load_model(made[Path(path).name].eval(), input_size=(12,), bounds=(-1, 1))

    monkeypatch.setattr(fingerprint.network, "load_model", load)
    return lambda *arguments: fp("diff", *arguments)


def test_what_changed_has_a_row_and_the_rest_is_counted(diff: Any) -> None:
    result = diff("a.pt", "b.pt")
    assert result.exit_code == 0
    assert "Tensors: 3 unchanged, 3 pruned" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["2.weight", "32x32", "pruned"] in [row[:3] for row in rows]
    assert not any(row[:1] == ["2.bias"] for row in rows)
    assert "tested correspond, p " in result.stdout


def test_json_is_one_document(diff: Any) -> None:
    document = json.loads(diff("a.pt", "b.pt", "--json").stdout)
    assert (document["schema"], document["ours"], document["theirs"]) == (1, "a.pt", "b.pt")
    assert document["counts"] == {"unchanged": 3, "pruned": 3}
    assert document["weights"]["p_value"] < 0.01
    assert {change["name"] for change in document["changes"]} == set(_module().state_dict())


def test_a_registered_model_goes_by_its_name_and_runs_only_code_that_is_named(
    diff: Any, script: Any
) -> None:
    assert diff("ours", "b.pt", "--arch", "nets:small").exit_code == 0
    assert diff("ours", "b.pt").exit_code == 0
    assert [call["code"] for call in script.named("load_again")] == [["nets"], []]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_is_drawn(diff: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"changes.{suffix}"
    result = diff("a.pt", "b.pt", "-o", str(path))
    assert result.exit_code == 0
    assert f"drew {path}" in result.stderr
    assert path.stat().st_size > 1000


def test_a_picture_of_no_kind_is_refused_before_anything_is_loaded(diff: Any) -> None:
    assert diff("a.pt", "b.pt", "-o", "changes.txt").exit_code == 2


def test_names_from_a_file_cannot_act_on_a_terminal(
    fp: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import fingerprint.network

    hostile = HOSTILE.replace(".", "")
    networks = [nn.Sequential(), nn.Sequential()]
    for number, net in enumerate(networks):
        net.add_module(hostile, nn.Linear(4, 3))
        torch.nn.init.constant_(net.get_parameter(f"{hostile}.weight"), number + 0.5)
    monkeypatch.setattr(
        fingerprint.network,
        "load_model",
        lambda *_, **__: load_model(networks.pop().eval(), input_size=(4,), bounds=(-1, 1)),
    )
    result = fp("diff", "a.pt", "b.pt", "-o", str(tmp_path / "x.png"))
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_a_name_may_look_like_a_file(diff: Any, script: Any) -> None:
    script.result = load_model(_module().eval(), input_size=(12,), bounds=(-1, 1))
    assert diff("ours.v2", "b.pt").exit_code == 0
    assert len(script.named("load_again")) == 1
