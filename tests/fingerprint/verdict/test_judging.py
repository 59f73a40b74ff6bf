"""The verdict over all, on answers."""

from __future__ import annotations

from typing import Any

from fingerprint.answers import Answers, Identity, ask
from fingerprint.kinship import Kinship
from fingerprint.network.spec import OutputSpec
from fingerprint.questions import questions_for
from fingerprint.suspects import ModelSuspect
from fingerprint.verdict import judge
from fingerprint.verification import Verification
from tests.support.extracted import fingerprint_of, model_of
from tests.support.fingerprints import make_fingerprint, make_model


def overall(*, kinship: Kinship | None = None, **settings: Any) -> Any:
    """Judges a constant network's answers to two fingerprints."""
    names = {"a": make_fingerprint(make_model(1)), "b": make_fingerprint(make_model(2))}
    answers = Answers(output=OutputSpec(classes=5), values={}, identity=Identity(), queries=3)
    return judge(names, answers, kinship=kinship or Kinship(), **settings)


def test_without_answers_nothing_is_said_of_anybody() -> None:
    result = overall()
    assert (result.verdict, result.best, result.queries) == ("inconclusive", None, 3)
    assert "missing or not finite" in result.reason
    assert result.to_dict()["alpha"] == 0.001


def test_references_are_judged_but_never_the_verdict() -> None:
    result = overall(kinship=Kinship(references=frozenset("ab")))
    assert len(result.candidates) == 2
    assert result.reason == "there is no registered model to compare with"


def test_references_that_were_not_asked_leave_nothing_open_and_still_count() -> None:
    fingerprint = fingerprint_of("cnn")
    answers = ask(ModelSuspect(model_of("cnn", 1)), questions_for({"ours": fingerprint}))

    def result(*references: str) -> Verification:
        return judge(
            {"ours": fingerprint},
            answers,
            kinship=Kinship(references=frozenset(references)),
            compatible=["ours", "public"],
        )

    assert (result().verdict, result("public").verdict) == ("inconclusive", "independent")
    assert result().candidates == result("public").candidates
