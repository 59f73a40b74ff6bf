"""Many processes on one registry, and processes that die in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from registry import Registry
from tests.registry.places import Places

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

ROOT = Path(__file__).parents[2]


def run(task: str, places: Places) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-m", "tests.registry.crowd", task, places.address, places.prefix],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.fixture(scope="module")
def crowded(places: Places) -> Places:
    return places.named("crowd")


@pytest.fixture(scope="module")
def outcomes(crowded: Places) -> dict[str, Any]:
    return run("crowd", crowded)


def test_eight_processes_opening_one_new_registry_all_succeed(
    outcomes: dict[str, Any], crowded: Places
) -> None:
    assert outcomes["create"] == ["done"] * 8
    with Registry(crowded.at("new")) as registry:
        registry.check()


def test_eight_processes_storing_eight_models_give_eight_rows(
    outcomes: dict[str, Any], crowded: Places
) -> None:
    assert outcomes["different"] == ["done"] * 8
    with Registry(crowded.at("different")) as registry:
        assert sorted(m.name for m in registry.models()) == [f"model {i}" for i in range(8)]
        registry.check()


def test_eight_processes_storing_one_name_have_exactly_one_winner(
    outcomes: dict[str, Any], crowded: Places
) -> None:
    losers = [outcome for outcome in outcomes["same"] if outcome != "done"]
    assert len(losers) == 7
    assert all(loser.startswith("NameTaken: ") for loser in losers)
    with Registry(crowded.at("same")) as registry:
        assert [m.name for m in registry.models()] == ["model"]
        registry.check()


def test_eight_processes_registering_one_model_by_two_names_register_it_once(
    outcomes: dict[str, Any], crowded: Places
) -> None:
    assert outcomes["twice"] == ["done"] * 8
    with Registry(crowded.at("twice")) as registry:
        (model,) = registry.models()
        assert sorted((model.name, *model.aliases)) == ["name 0", "name 1"]
        registry.check()


def test_models_registered_at_the_same_time_are_pairs_to_be_measured(
    outcomes: dict[str, Any], crowded: Places
) -> None:
    with Registry(crowded.at("different")) as registry:
        names = [model.name for model in registry.models()]
        missing = {(pair.source, pair.other) for pair in registry.missing_pairs()}
    # The fakes measured none at all: each was to be asked the probes of all before it.
    assert missing == {(a, b) for i, a in enumerate(names) for b in names[i + 1 :]}


def test_a_renewal_that_is_killed_has_not_happened(places: Places) -> None:
    assert run("renew", places.named("renewing")) == {"before": 4, "after": 4, "never": 7}


@pytest.mark.slow
def test_a_process_killed_at_any_moment_leaves_the_whole_model_or_nothing(places: Places) -> None:
    outcome = run("kill", places.named("killing"))
    assert outcome["wrong"] == []
    # Both happened, or the moments were not in the middle of anything.
    assert 0 < outcome["stored"] < 50
