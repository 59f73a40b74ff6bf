"""How many probes each depth gets, and how many turns they are held against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fingerprint.probes.extraction import extract
from fingerprint.probes.turns import control_groups
from fingerprint.questions import question_id, questions_for
from tests.support.extracted import SEED, model_of


@pytest.mark.parametrize("probes", [6, 7, 25])
def test_any_number_of_probes_is_dealt_over_the_depths(probes: int) -> None:
    fingerprint = extract(model_of("mlp"), seed=SEED, probes=probes)
    assert len(fingerprint.probes) == probes
    counts = [
        sum(probe.kind == depth.name for probe in fingerprint.probes)
        for depth in fingerprint.depths
    ]
    # A third is late; fewer than twelve are all of one depth.
    assert counts == ([probes] if probes < 12 else [probes - probes // 3, probes // 3])


def test_of_large_inputs_five_of_the_usual_24_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fingerprint.probes.turns._LARGE", 0)
    fingerprint = extract(model_of("cnn"), seed=SEED)
    kinds = [probe.kind for probe in fingerprint.probes]
    assert [kinds.count(depth.name) for depth in fingerprint.depths] == [19, 5]
    assert len(fingerprint.bases) == 19


@pytest.mark.parametrize(("probes", "turns"), [(6, 7), (8, 6), (10, 4), (12, 6), (24, 4)])
def test_fewer_probes_are_held_against_more_turns(probes: int, turns: int) -> None:
    """A thousand candidates can be told apart at 0.001 as far as turns suffice."""
    fingerprint = extract(model_of("mlp"), seed=SEED, probes=probes)
    assert len(fingerprint.turns) == turns
    most = max(sum(one.kind == d.name for one in fingerprint.probes) for d in fingerprint.depths)
    least = min(map(len, control_groups(fingerprint.input.shape, fingerprint.turns)))
    assert turns == 7 or (least + 1.0) ** -most <= 1e-6


@pytest.mark.parametrize(
    ("told", "turns"),
    [(range(11), (7, 8, 9, 10)), (range(7), (0, 1, 4, 5)), (range(9), (0, 1, 4, 5))],
)
def test_controls_of_large_inputs_stay_on_the_grid_if_the_source_can_tell_them(
    told: Sequence[int], turns: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fingerprint.probes.turns._LARGE", 0)
    monkeypatch.setattr("fingerprint.probes.pilot.told_apart", lambda *_: tuple(told))
    fingerprint = extract(model_of("cnn"), seed=SEED)
    assert fingerprint.turns == turns
    said = any("takes a probe upside down for the probe" in line for line in fingerprint.warnings)
    assert said == (turns != (7, 8, 9, 10))
    flipped = fingerprint.bases[:2, :, ::-1] if not said else fingerprint.bases[:0]
    np.testing.assert_array_equal(fingerprint.flipped_bases, flipped)
    asked = {question_id(np.ascontiguousarray(one)) for one in flipped}
    assert asked <= set(questions_for({"A": fingerprint}).ids)
