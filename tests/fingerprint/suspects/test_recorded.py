"""A suspect that was asked elsewhere answers from the record, and what is missing stays missing."""

from __future__ import annotations

import numpy as np

from fingerprint.answers import ask
from fingerprint.questions import questions_for
from fingerprint.suspects import ModelSuspect, Recorded
from fingerprint.verdict import judge
from tests.support.fingerprints import make_fingerprint, make_model

MODEL = make_model(1)
FINGERPRINT = make_fingerprint(MODEL, probes=12)
QUESTIONS = questions_for({"one": FINGERPRINT})
ROWS = ModelSuspect(MODEL).answer(QUESTIONS.inputs)


def recorded(rows: dict[str, np.ndarray]) -> Recorded:
    return Recorded(MODEL.input, MODEL.output, rows, facts={"export": "ab"})


def all_rows() -> dict[str, np.ndarray]:
    return {asked: row[None] for asked, row in zip(QUESTIONS.ids, ROWS, strict=True)}


def test_what_was_answered_is_looked_up_and_nothing_else() -> None:
    rows = all_rows()
    missing = QUESTIONS.ids[3]
    del rows[missing]
    suspect = recorded(rows)
    answers = ask(suspect, QUESTIONS)
    assert answers.values.keys() == set(QUESTIONS.ids) - {missing}
    assert answers.failure == ""
    np.testing.assert_array_equal(answers.of(QUESTIONS.inputs[:3]), ROWS[:3])
    assert suspect.facts()["export"] == "ab"


def test_what_was_answered_more_than_once_is_asked_as_often_every_time() -> None:
    rows = all_rows()
    twice, thrice = QUESTIONS.ids[5], QUESTIONS.ids[7]
    rows[twice] = np.repeat(rows[twice], 2, axis=0)
    rows[thrice] = rows[thrice] * np.arange(1, 4, dtype=np.float32)[:, None]
    suspect = recorded(rows)
    for _ in range(2):
        answers = ask(suspect, QUESTIONS)
        assert answers.repeats.keys() == {twice, thrice}
        np.testing.assert_array_equal(answers.repeats[thrice], rows[thrice][1:])
        np.testing.assert_array_equal(answers.values[thrice], rows[thrice][0])
    assert not answers.repeatable(1e-6)


def test_where_nothing_was_answered_twice_nothing_shows_that_answers_repeat() -> None:
    answers = ask(recorded(all_rows()), QUESTIONS)
    result = judge({"one": FINGERPRINT}, answers)
    assert result.verdict == "inconclusive"
    assert "no input was answered twice" in result.reason
