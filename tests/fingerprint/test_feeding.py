"""A suspect that was fed otherwise than it wants to be is not called independent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fingerprint import Journal, ModelSuspect, verify
from fingerprint.feeding import better_flags
from fingerprint.lab.modifications import quantised
from tests.support.digits import network
from tests.support.extracted import fingerprint_of, loaded, model_of


def test_the_flags_under_which_it_would_match_are_named() -> None:
    copy = loaded(quantised(network("cnn")))
    wrong = replace(copy, input=replace(copy.input, mean=(0.5,), std=(0.5,)))
    result = verify(wrong, {"ours": fingerprint_of("cnn")})
    assert result.verdict == "inconclusive"
    assert "--mean 0 --std 1" in result.reason
    assert verify(copy, {"ours": fingerprint_of("cnn")}).verdict == "derived"


@pytest.mark.parametrize("budget", [None, 1000])
def test_they_are_named_behind_a_journal_and_a_budget_too(
    budget: int | None, tmp_path: Path
) -> None:
    copy = loaded(quantised(network("cnn")))
    wrong = replace(copy, input=replace(copy.input, mean=(0.5,), std=(0.5,)))
    path = None if budget else tmp_path / "journal"
    kept = Journal(ModelSuspect(wrong), path, max_queries=budget)
    result = verify(kept, {"ours": fingerprint_of("cnn")})
    assert result.verdict == "inconclusive"
    assert "--mean 0 --std 1" in result.reason


def test_a_stranger_matches_under_no_flags() -> None:
    assert better_flags(model_of("cnn", 1), {"ours": fingerprint_of("cnn")}) == {}
