"""The benchmark of watching: a change is noticed, and the page shows what is committed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import watch
from benchmarks.pages import filled
from benchmarks.watch import SERVICES, Features, Service
from fingerprint.questions import question_id
from tests.support.watched import SHAPE, pixels

QUESTIONS = pixels(24)
ROOT = Path(__file__).parents[2]


def features(seed: int) -> Features:
    random = np.random.default_rng(seed)
    rows = np.maximum(random.normal(size=(len(QUESTIONS), 16)), 0)
    return Features(
        shape=SHAPE,
        rows={question_id(one): row for one, row in zip(QUESTIONS, rows, strict=True)},
        weight=random.normal(size=(5, 16)),
        bias=np.zeros(5),
    )


@pytest.mark.parametrize("service", SERVICES[:5], ids=lambda service: service.name)
def test_another_network_is_noticed_behind_each_service(service: Service) -> None:
    found = watch.delay(service, features(0), features(1), QUESTIONS, seed=0)
    assert found is not None
    assert found % 8 == 0
    assert (found == 8) or service.noise or service.dropout


@pytest.mark.parametrize("service", [SERVICES[0], SERVICES[4]], ids=lambda service: service.name)
def test_no_change_is_seldom_accused(service: Service) -> None:
    found = watch.false_alarms(service, features(0), QUESTIONS, watches=4, runs=30)
    assert found["watches"] == (4 if service.dropout else 1)
    assert found["alarms"] == 0


def test_bets_made_together_are_those_of_a_run() -> None:
    service = SERVICES[4]
    highest = watch._highest(service, features(0), QUESTIONS, watches=1, runs=12)
    inputs = watch.Watched(watch.Served(service, features(0), seed=0), QUESTIONS, 0.05, "watch")
    alone = [inputs.look().evidence for _ in range(12)]
    assert np.exp(highest[0]) == pytest.approx(10 ** max(alone))


def test_the_page_shows_what_is_committed() -> None:
    results = json.loads((ROOT / "benchmarks" / "watch.json").read_text())
    page = (ROOT / "docs" / "watch.md").read_text()
    assert filled(page, watch.tables(results)) == page


def test_nobody_was_accused_oftener_than_promised() -> None:
    results = json.loads((ROOT / "benchmarks" / "watch.json").read_text())
    for row in results["alarms"]:
        assert row["runs"] == 1000
        assert row["alarms"] <= 0.05 * row["watches"]
