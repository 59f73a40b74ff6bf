"""Of many candidates only the nearest by the panel, and all it cannot rule out, are asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint import narrowing, verify
from fingerprint.probes.probe import Fingerprint
from tests.support.extracted import fingerprint_of, model_of


def crowd(own: Fingerprint, count: int) -> dict[str, Fingerprint]:
    """The own fingerprint among others whose panels were answered at random."""
    chance = np.random.default_rng(0)
    shape = own.panel_answers.shape
    found = {
        f"m{place:02}": replace(
            own,
            model_digest=f"{place:064x}",
            panel_answers=chance.normal(size=shape).astype(np.float32),
        )
        for place in range(count)
    }
    return {**found, "own": own}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "NEAREST", 2)


def test_the_own_model_is_found_and_strangers_are_not_asked(few: None) -> None:
    named = crowd(fingerprint_of("cnn"), 12)
    found = verify(model_of("cnn"), named, always=())
    assert found.verdict == "same"
    assert "own" in {one.name for one in found.candidates}
    assert len(found.not_asked) >= 8
    assert {one.name for one in found.candidates} | set(found.not_asked) == set(named)
    assert any("ruled out by the panel" in line for line in found.warnings)


def test_whoever_a_policy_names_is_asked(few: None) -> None:
    named = crowd(fingerprint_of("cnn"), 12)
    found = verify(model_of("cnn"), named, always=("m03", "m07"))
    assert {"m03", "m07"} <= {one.name for one in found.candidates}


def test_by_default_everyone_is_asked(few: None) -> None:
    assert verify(model_of("cnn"), crowd(fingerprint_of("cnn"), 4)).not_asked == ()


def test_large_models_are_never_ruled_out(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "_MOST_CLASSES", 4)
    assert verify(model_of("cnn"), crowd(fingerprint_of("cnn"), 4), always=()).not_asked == ()
