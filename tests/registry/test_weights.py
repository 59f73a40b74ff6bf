"""What weights say is recorded beside the verdict, and changes nothing in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import nn

from fingerprint.lab.modifications import quantised
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.suspects import Journal, ModelSuspect, Narrowed
from fingerprint.verification import Verification
from fingerprint.weights import comparison, wiring
from registry import Registry, RegistryCorrupt
from registry.weights import at_hand, chosen
from tests.cli.fakes import candidate, verification
from tests.registry.conftest import put, result_of, tamper
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


@pytest.mark.parametrize("error", [RuntimeError("no\nroom"), MemoryError(), IndexError("odd")])
def test_no_error_in_comparing_costs_the_verdict(
    kept: Registry, suspect: Model, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(comparison, "compare_layers", fails)
    found = kept.verify(suspect)
    (finding,) = found.weights
    assert finding.verdict == "not_compared"
    assert "failed" in finding.reason
    assert "\n" not in finding.reason
    monkeypatch.setattr(wiring, "layers_of", fails)
    again = kept.verify(suspect)
    assert "the suspect" in again.weights[0].reason
    black = kept.verify(suspect, weights=False)
    assert found.candidates == again.candidates == black.candidates


def test_candidates_that_are_left_out_are_counted() -> None:
    near, far = (
        tuple(candidate(f"{where} {k}", "independent") for k in range(9))
        for where in ("near", "far")
    )
    asked = replace(verification(*near, *far), not_asked=("ruled out",))
    names, (line,) = chosen(asked, ["far 8"])
    assert names == ["far 8", *(one.name for one in (*near, *far[:6]))]
    assert line == "weights: compared with the 16 nearest models only, not with 3 more"
    few = replace(verification(*near), not_asked=("ruled out",))
    assert chosen(few, ()) == ([*(one.name for one in near), "ruled out"], ())


def test_what_was_found_is_bound_into_the_chain(kept: Registry, suspect: Model) -> None:
    kept.verify(suspect)
    (record,) = kept.verifications()
    assert Verification.from_dict(record.evidence).weights[0].verdict == "shared"
    old = {name: value for name, value in record.evidence.items() if name != "weights"}
    assert Verification.from_dict(old).weights == ()
    changed = "UPDATE verifications SET evidence = replace(evidence, '\"shared\"', '\"not_found\"')"
    tamper(kept, changed)
    (record,) = kept.verifications()
    assert Verification.from_dict(record.evidence).weights[0].verdict == "not_found"
    with pytest.raises(RegistryCorrupt):
        kept.check()
