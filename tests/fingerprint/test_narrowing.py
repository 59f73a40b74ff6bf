"""Of many candidates only the nearest by the panel, and all it cannot rule out, are asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fingerprint import Journal, ModelSuspect, narrowing, questions, verify
from fingerprint.probes.probe import Fingerprint
from fingerprint.questions import question_id
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


def test_what_the_ruled_out_would_ask_is_never_made(
    few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(one: np.ndarray) -> str:
        made.append(1)
        return question_id(one)

    monkeypatch.setattr(questions, "question_id", counted)
    asked = []
    for count in (12, 36):
        made.clear()
        found = verify(model_of("cnn"), crowd(fingerprint_of("cnn"), count), always=())
        asked.append((len(made), len(found.candidates)))
    (few_made, few_asked), (many_made, many_asked) = asked
    assert many_made / many_asked <= few_made / few_asked, "more models, and no more for each"


def test_an_interrupted_search_asks_only_what_is_missing(few: None, tmp_path: Path) -> None:
    named, whole = crowd(fingerprint_of("cnn"), 12), ModelSuspect(model_of("cnn"))
    total = verify(whole, named, always=()).queries
    for budget in (50, 60, None):  # in the panel, in the probes, to the end
        suspect = ModelSuspect(model_of("cnn"))
        journal = Journal(suspect, tmp_path / "journal", max_queries=budget)
        found = verify(journal, named, always=())
        assert budget is None or (suspect.queries, found.verdict) == (budget, "inconclusive")
    assert (found.verdict, found.queries, suspect.queries) == ("same", total, total - 110)


def test_who_has_no_probes_takes_the_place_of_nobody_who_has(few: None) -> None:
    named = crowd(fingerprint_of("cnn"), 12)
    bare = {name: replace(one, probes=(), depths=(), turns=()) for name, one in named.items()}
    some = {**bare, "m03": named["m03"], "m07": named["m07"], "own": named["own"]}
    asked = {one.name for one in verify(model_of("cnn"), some, always=()).candidates}
    assert asked in ({"own", "m03"}, {"own", "m07"})
