"""The margins of the library are those that the settings half chose, by a rule that is tried."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.detection.calibrate import OUT, chosen_margins
from fingerprint.evidence.calibration import BOUNDS, MARGINS

KINDS = {"logits": "logits", "probabilities": "probabilities", "top-5": "top-k"}


def _pair(suspect: str, related: bool, span: list[float]) -> dict[str, Any]:
    said = {kind: {"depths": {"layer1": span}} for kind in KINDS}
    return {"source": "a", "suspect": suspect, "related": related, "verdicts": said}


def _member(name: str, base: str, accuracy: float, group: str = "shares weights") -> dict[str, Any]:
    return {"name": name, "base": base, "accuracy": accuracy, "group": group, "classes": 10}


SETTINGS = {
    "sources": [{"name": "a", "depths": [["layer1", "early", 0.2]]}],
    "members": [
        _member("a", "a", 0.8, "base"),
        _member("b", "b", 0.8, "base"),
        _member("a/tuned", "a", 0.7),
        _member("a/ruined", "a", 0.42),
        _member("a/student", "a", 0.8, "student"),
        _member("b/merged", "b", 0.8),
    ],
    "pairs": [
        _pair("a", True, [0.1, 0.1, 0.1]),
        _pair("b", False, [0.52, 0.4, 0.59, 0.3]),
        _pair("a/tuned", True, [0.6, 0.56, 0.7]),
        _pair("a/ruined", True, [0.9, 0.8, 1.0]),
        _pair("a/student", True, [0.9, 0.8, 1.0]),
        _pair("b/merged", True, [0.9, 0.8, 1.0]),
    ],
}


def test_the_margin_is_the_lowest_strangers_and_the_bound_above_every_working_copy() -> None:
    found = chosen_margins(SETTINGS)
    assert [one.answers for one in found] == list(KINDS)
    assert {(one.pairs, one.lowest, one.margin) for one in found} == {(1, 0.52, 0.5)}
    assert {one.least_p for one in found} == {0.3}
    # Ruined copies, students and mere ingredients set no bound.
    assert {(one.copies, one.found, one.bound) for one in found} == {(1, 0, 0.6)}


def test_the_librarys_margins_are_those_of_the_committed_choice() -> None:
    chosen = json.loads(OUT.read_text(encoding="utf-8"))["margins"]
    assert {one["depth"] for one in chosen} == set(MARGINS) - {"individual"}
    for one in chosen:
        assert MARGINS[one["depth"]][KINDS[one["answers"]]] == one["margin"]
        if one["bound"] is not None:
            assert BOUNDS[one["depth"]][KINDS[one["answers"]]] == one["bound"]
