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
    found = chosen_margins(SETTINGS, [])
    assert [one.answers for one in found] == list(KINDS)
    assert {(one.pairs, one.lowest, one.margin) for one in found} == {(1, 0.52, 0.5)}
    assert {one.least_p for one in found} == {0.3}
    # Ruined copies, students and mere ingredients set no bound.
    assert {(one.copies, one.found, one.bound) for one in found} == {(1, 0, 0.6)}


def test_the_individual_margin_lies_a_step_below_the_lowest_relatives() -> None:
    def row(role: str, low: float, parent: str = "registered", own: float = 0.4) -> dict[str, Any]:
        return {
            "role": role,
            "parent": parent,
            "individual_margins": [own],
            "individual": {"logits": [[low, low - 0.1, low + 0.1]]},
        }

    rows = [row("relative", 0.41), row("copy", 0.1), row("relative", 0.2, "not registered")]
    rows.append(row("relative", 0.3, own=0.2))  # held against less than the default
    (*_, last) = chosen_margins(SETTINGS, rows)
    assert (last.depth, last.margin, last.pairs, last.found) == ("individual", 0.35, 1, 1)
    assert last.bound is None
    (*_, last) = chosen_margins(SETTINGS, [row("relative", 0.9)])
    assert last.margin == 0.4, "and no more than that"


def test_the_librarys_margins_are_those_of_the_committed_choice() -> None:
    chosen = json.loads(OUT.read_text(encoding="utf-8"))["margins"]
    assert {one["depth"] for one in chosen} == set(MARGINS)
    for one in chosen:
        assert MARGINS[one["depth"]][KINDS[one["answers"]]] == one["margin"]
        if one["bound"] is not None:
            assert BOUNDS[one["depth"]][KINDS[one["answers"]]] == one["bound"]
