"""What a verification with fewer probes asks is counted before it asks."""

from __future__ import annotations

import pytest

from benchmarks.detection.methods import harmless as ours
from fingerprint import ModelSuspect
from tests.support.fingerprints import make_deep, make_model


def test_what_is_counted_is_what_is_asked() -> None:
    model = make_model()
    fingerprint = make_deep(model, bases=6)  # of two depths
    by_length = ours.by_length(fingerprint, ModelSuspect(model), (4, 8))
    assert set(by_length) == set(ours.ANSWER_KINDS)
    for found in by_length.values():
        for probes, verification in found.items():
            asked = ours.asked({"source": fingerprint}, probes)
            assert verification.queries == sum(asked.values())
            assert asked == {
                "panel": 4,
                "bases": probes // 2,
                "probes": probes,
                "turns": 3 * probes,
                "repeated": 1,
            }


def test_candidates_share_the_panel_and_public_bases() -> None:
    both = {name: make_deep(make_model(seed), bases=6) for seed, name in enumerate("ab")}
    asked = ours.asked(both, 8)
    assert asked == {"panel": 4, "bases": 4, "probes": 16, "turns": 48, "repeated": 1}


def test_the_p_value_is_the_least_over_depths() -> None:
    model = make_model()
    verification = ours.verdicts(make_deep(model), ModelSuspect(model), 12)["logits"]
    findings = verification.candidates[0].findings
    known = [one.joint_p for one in findings if one.joint_p is not None]
    assert ours.joint_p(findings) == pytest.approx(min(known))
    assert ours.joint_p([]) is None
