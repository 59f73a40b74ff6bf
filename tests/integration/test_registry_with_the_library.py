"""The registry and the real library together: files in, screened probes, a verdict on record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fingerprint import load_model
from fingerprint.lab.networks import mlp
from fingerprint.network.model import Model
from registry import Registry

ARCH = "fingerprint.lab.networks:mlp"
PROBES = 24


def load(folder: Path, name: str, seed: int) -> Model:
    """Saves an untrained network and loads its file."""
    torch.manual_seed(seed)
    save_file(mlp().state_dict(), folder / f"{name}.safetensors")
    return load_model(
        folder / f"{name}.safetensors", arch=ARCH, input_size=(1, 16, 16), mean=(0.5,), std=(0.5,)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def registry(folder: Path) -> Iterator[Registry]:
    """Two unrelated networks."""
    with Registry(folder / "registry.db") as opened:
        for seed, name in enumerate(("first", "second")):
            opened.register(load(folder, name, seed), probes=PROBES)
        yield opened


def test_the_second_model_is_screened_against_the_first_from_its_file(registry: Registry) -> None:
    first, second = registry.models()
    screened = [model.facts["screened_against"] for model in (first, second)]
    assert screened == [[], ["first"]]
    assert not [line for line in second.warnings if "loaded again" in line or "not at all" in line]
    assert second.probes == PROBES
    registry.check()


def test_the_pair_is_measured_for_calibration(registry: Registry) -> None:
    (pair,) = registry.pairs("first")
    assert pair.other == "second"
    assert 0.3 < pair.harm_ratio < 3
    assert registry.pairs("second") == ()


def test_a_copy_is_recognised_and_a_stranger_is_not(registry: Registry, folder: Path) -> None:
    copy = registry.verify(load(folder, "copy", 1))
    assert (copy.verdict, copy.best) == ("same", "second")
    assert "identical weights digest to 'second'" in copy.warnings
    stranger = registry.verify(load(folder, "stranger", 7))
    assert stranger.best is None
    recorded = registry.verifications()
    assert [found.best for found in recorded[-2:]] == ["second", None]
    assert recorded[-2].evidence["queries"] == copy.queries > 0
    registry.check()
