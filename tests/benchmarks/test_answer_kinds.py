"""Each kind of answer is what it is called, and the page holds what came of it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from benchmarks import answer_kinds
from benchmarks.answer_kinds import KINDS, Answering, Kind
from fingerprint import load_model
from fingerprint.distances import named
from tests.support.digits import digits, network

PICTURES = digits().test_images[:12]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_answers_are_of_their_kind(kind: Kind) -> None:
    rows = Answering(load_model(network("cnn"), input_size=(1, 16, 16)), kind).answer(PICTURES)
    assert rows.shape == (12, kind.width or 10)
    sums = {"probabilities": 1, "labels": 1}
    if kind.kind in sums:
        assert rows.sum(axis=1) == pytest.approx(np.ones(12), abs=0.06)
    if kind.kind == "top-k":
        assert (named(rows).sum(axis=1) <= 3).all()


def test_an_embedding_is_what_the_head_gets() -> None:
    net = network("cnn")
    inputs = torch.from_numpy(PICTURES).float() / 255
    with torch.no_grad():
        features = answer_kinds.headless(net)(inputs)
        assert torch.allclose(net.head(features), net(inputs), atol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("answers", ["one number", "2 decimals"])
def test_the_sentence_counts_who_is_left_inconclusive(answers: str) -> None:
    rows = json.loads(answer_kinds.RESULTS.read_text(encoding="utf-8"))["rows"]
    said = []
    for independent, called in ((False, "copies"), (True, "strangers")):
        some = [
            row["verdict"]
            for row in rows
            if row["answers"] == answers and (row["suspect"] == "independent") is independent
        ]
        said.append(f"{some.count('inconclusive')} of the {len(some)} {called}")
    page = (answer_kinds.RESULTS.parents[1] / "docs/power.md").read_text(encoding="utf-8")
    text = " ".join(page.split())
    (sentence,) = re.findall(rf"from {answers} ([^,.]*)", text, re.IGNORECASE)
    assert sentence.startswith(" and ".join(said))


def test_of_no_kind_of_answers_a_stranger_was_accused() -> None:
    rows = json.loads(answer_kinds.RESULTS.read_text(encoding="utf-8"))["rows"]
    assert {row["answers"] for row in rows} == {kind.name for kind in KINDS}
    claimed = [row for row in rows if row["verdict"] in ("same", "derived")]
    assert not [row for row in claimed if row["suspect"] == "independent"]
