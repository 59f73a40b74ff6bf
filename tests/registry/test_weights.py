"""What weights say is recorded beside the verdict, and changes nothing in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import nn

from fingerprint.lab.modifications import quantised
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.suspects import Journal, ModelSuspect, Narrowed
from registry import Registry
from registry.weights import at_hand
from tests.registry.conftest import put, result_of
from tests.support.digits import network

ARCH = "fingerprint.lab.networks:cnn"


def _saved(module: nn.Module, path: Path) -> Model:
    save_file(module.state_dict(), path)
    return load_model(path, arch=ARCH, input_size=(1, 16, 16))


@pytest.fixture
def kept(registry: Registry, tmp_path: Path) -> Registry:
    """A registry with one model that was registered from a file."""
    ours = _saved(network("cnn"), tmp_path / "ours.safetensors")
    registry.commit(result_of(registry, "ours", ours))
    return registry


@pytest.fixture
def suspect(tmp_path: Path) -> Model:
    return _saved(quantised(network("cnn")), tmp_path / "suspect.safetensors")


def test_a_copy_of_a_file_shares_weights_and_that_is_recorded(
    kept: Registry, suspect: Model
) -> None:
    found = kept.verify(suspect)
    (finding,) = found.weights
    assert (finding.name, finding.verdict) == ("ours", "shared")
    (record,) = kept.verifications()
    assert record.evidence["weights"] == [finding.to_dict()]
    kept.check()


def test_no_part_of_the_verdict_depends_on_it(kept: Registry, suspect: Model) -> None:
    white, black = (kept.verify(suspect, weights=one) for one in (True, False))
    assert black.weights == ()
    assert (white.verdict, white.best, white.queries) == (black.verdict, black.best, black.queries)
    assert white.candidates == black.candidates


def test_a_file_that_is_gone_or_changed_is_a_reason(
    kept: Registry, suspect: Model, tmp_path: Path
) -> None:
    file = tmp_path / "ours.safetensors"
    save_file(quantised(network("cnn"), bits=4).state_dict(), file)
    (finding,) = kept.verify(suspect).weights
    assert finding.verdict == "not_compared"
    assert "changed" in finding.reason
    file.unlink()
    (finding,) = kept.verify(suspect).weights
    assert finding.verdict == "not_compared"
    assert "no such file" in finding.reason


def test_a_model_that_was_registered_live_has_no_file(registry: Registry) -> None:
    put(registry, "live", 0)
    model = load_model(network("cnn"), input_size=(1, 16, 16))
    registry.commit(result_of(registry, "ours", model))
    (finding,) = registry.verify(model, against=["ours"]).weights
    assert finding.verdict == "not_compared"
    assert "file" in finding.reason


def test_only_a_network_at_hand_has_weights(suspect: Model) -> None:
    asked = ModelSuspect(suspect)
    assert at_hand(asked) is suspect
    assert at_hand(Journal(asked)) is suspect
    assert at_hand(Narrowed(asked, "labels")) is None
