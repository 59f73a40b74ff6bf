"""What is left of a suspect's answers when an endpoint shows less of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint.answers import ask
from fingerprint.errors import UsageError
from fingerprint.network.spec import AnswerKind, InputSpec, OutputSpec
from fingerprint.questions import questions_for
from fingerprint.suspects import Journal, ModelSuspect, Narrowed, Suspect
from tests.support.fingerprints import make_fingerprint, make_model

ROWS = np.array([[2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 5.0, 0.0], [-3.0, 9.0, 9.0, 1.0]], np.float32)
INPUTS = np.zeros((3, 1), np.float32)


class Fixed(Suspect):
    """Answers with the rows it was given."""

    def __init__(self, rows: NDArray[np.float32], kind: AnswerKind = "logits") -> None:
        super().__init__(InputSpec(shape=(1,), kind="float"), OutputSpec(classes=4, kind=kind))
        self.rows = rows

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        return self.rows


def plain_softmax(row: NDArray[np.float32]) -> list[float]:
    powers = [2.718281828459045 ** float(value) for value in row]
    return [power / sum(powers) for power in powers]


SHARES = np.array([plain_softmax(row) for row in ROWS])


@pytest.mark.parametrize("given", ["logits", "probabilities"])
def test_each_kind_shows_less_of_the_same_answers(given: AnswerKind) -> None:
    rows = ROWS if given == "logits" else SHARES.astype(np.float32)
    suspect = Fixed(rows, given)
    shown = {kind: Narrowed(suspect, kind, k=2).answer(INPUTS) for kind in KINDS}
    np.testing.assert_allclose(shown["probabilities"], SHARES, rtol=1e-6)
    expected = SHARES * [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]]
    np.testing.assert_allclose(shown["top-k"], expected, rtol=1e-6)
    np.testing.assert_array_equal(shown["labels"], np.eye(4)[[0, 2, 1]])
    assert {rows.dtype for rows in shown.values()} == {np.dtype(np.float32)}


KINDS: tuple[AnswerKind, ...] = ("probabilities", "top-k", "labels")


def test_values_are_rounded_after_the_classes_were_chosen() -> None:
    shown = Narrowed(Fixed(ROWS), "top-k", k=3, decimals=1).answer(INPUTS)
    expected = [[0.6, 0.2, 0.1, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.5, 0.5, 0.0]]
    np.testing.assert_allclose(shown, expected, atol=1e-7)
    logits = Narrowed(Fixed(ROWS / 3), "logits", decimals=0).answer(INPUTS)
    np.testing.assert_array_equal(logits, np.round(ROWS / 3))


def test_an_answer_that_never_came_stays_missing() -> None:
    rows = ROWS.copy()
    rows[1], rows[2, 0] = np.nan, np.inf
    for kind in KINDS:
        shown = Narrowed(Fixed(rows), kind).answer(INPUTS)
        assert np.isfinite(shown).all(axis=1).tolist() == [True, False, False]
        assert np.isnan(shown[1:]).all()


def test_queries_are_counted_here_and_there() -> None:
    inner = Fixed(ROWS)
    suspect = Narrowed(inner, "labels")
    suspect.answer(INPUTS)
    suspect.answer(INPUTS)
    assert suspect.queries == inner.queries == 6


def test_it_takes_what_the_other_takes_and_says_what_it_shows() -> None:
    inner = ModelSuspect(make_model())
    suspect = Narrowed(inner, "top-k")
    assert suspect.input == inner.input
    assert suspect.output == OutputSpec(classes=5, kind="top-k")
    assert suspect.identity == inner.identity
    assert suspect.facts() == {
        **inner.facts(),
        "output": {"classes": 5, "kind": "top-k"},
        "shown": {"k": 5, "decimals": None},
    }


@pytest.mark.parametrize(
    ("given", "kind", "options", "message"),
    [
        ("logits", "scores", {}, "got 'scores'"),
        ("probabilities", "logits", {}, "it gives probabilities"),
        ("top-k", "labels", {}, "it gives top-k"),
        ("labels", "labels", {}, "it gives labels"),
        ("logits", "top-k", {"k": 0}, "k: expected at least 1"),
        ("logits", "top-k", {"decimals": -1}, "decimals: expected 0 or more"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    given: AnswerKind, kind: AnswerKind, options: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Narrowed(Fixed(ROWS, given), kind, **options)


def test_what_limits_the_other_is_passed_on(tmp_path: Path) -> None:
    """Also where the journal is inside: what it no longer asks is no answer of a poor endpoint."""
    model = make_model()
    questions = questions_for({"one": make_fingerprint(model)})
    inside = Narrowed(Journal(ModelSuspect(model), tmp_path / "journal", max_queries=3), "labels")
    answers = ask(inside, questions)
    assert len(answers.values) == 3
    assert "the budget of 3 queries is spent" in answers.failure
    assert (tmp_path / "journal").exists()
