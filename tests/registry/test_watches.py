"""What is watched is kept whole, run after run, whoever else writes and whenever it is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.watching import Observation, first_seen, observe, rotation, unheard
from registry import Registry, UnknownModel, UnknownWatch, WatchSettings, WatchTaken
from tests.registry.conftest import place_of, put, tamper
from tests.registry.places import Places
from tests.registry.test_processes import run as in_processes
from tests.support.watched import SHAPE, Linear

SETTINGS = WatchSettings(questions=12, ask=4)


def begin(registry: Registry, name: str = "prod", suspect: Linear | None = None) -> Linear:
    suspect = suspect or Linear()
    inputs, _ = registry.watches.choose(name, SETTINGS, suspect.input)
    baseline = first_seen(suspect, inputs)
    registry.watches.add(name, baseline, target={"target": "there"}, settings=SETTINGS)
    return suspect


def look(registry: Registry, suspect: Linear, name: str = "prod") -> Any:
    watch, baseline = registry.watches.get(name), registry.watches.baseline(name)
    key = registry.watches.key(name)
    places = rotation(baseline, key, turn=len(watch.runs), count=watch.settings.ask)
    repeatable = watch.runs[-1].repeatable if watch.runs else baseline.repeatable
    return registry.watches.record(name, observe(baseline, suspect, places, repeatable=repeatable))


def test_runs_are_kept_in_their_order_and_in_the_chain(registry: Registry) -> None:
    suspect = begin(registry)
    runs = [look(registry, suspect) for _ in range(5)]
    registry.check()
    with Registry(place_of(registry)) as again:
        watch = again.watches.get("prod")
        assert list(watch.runs) == runs
        assert [run.number for run in watch.runs] == [1, 2, 3, 4, 5]
        assert (watch.target, watch.settings) == ({"target": "there"}, SETTINGS)
        assert [one.name for one in again.watches.all()] == ["prod"]
        with again._books() as books:
            actions = [entry.action for entry in books.entries]
    assert actions == ["create", "watch", *["observe"] * 5]


def test_a_change_is_found_and_kept_with_its_time(registry: Registry) -> None:
    suspect = begin(registry)
    before = look(registry, suspect)
    suspect.moved = 1.0
    found = look(registry, suspect)
    assert (found.state, found.since) == ("changed", (before.time, found.time))
    assert registry.watches.get("prod").changed == found


def test_the_order_of_questions_is_a_secret_of_each_registry_and_watch(
    registry: Registry, tmp_path: Path
) -> None:
    with Registry(tmp_path / "other.db") as other:
        keys = {other.watches.key("a"), registry.watches.key("a"), registry.watches.key("b")}
    assert len(keys) == 3


def test_a_registered_model_is_asked_its_probes_first(registry: Registry) -> None:
    put(registry, "ours")
    settings = WatchSettings(model="ours", questions=6, ask=2)
    inputs, recorded = registry.watches.choose("prod", settings, InputSpec(shape=SHAPE))
    fingerprint = registry.fingerprint("ours")
    np.testing.assert_array_equal(inputs[:4], fingerprint.harmless)
    np.testing.assert_array_equal(inputs[4:], fingerprint.bases)
    assert recorded is not None
    np.testing.assert_array_equal(recorded.answers[0], fingerprint.probes[0].answer)


def test_a_watch_outlives_the_model_it_is_held_against(registry: Registry) -> None:
    put(registry, "ours")
    suspect = Linear()
    settings = WatchSettings(model="ours", questions=6, ask=2)
    inputs, _ = registry.watches.choose("prod", settings, suspect.input)
    registry.watches.add("prod", first_seen(suspect, inputs), target={}, settings=settings)
    registry.remove("ours")
    assert look(registry, suspect).state == "unchanged"
    registry.check()


def test_what_cannot_be_watched_is_refused(registry: Registry) -> None:
    begin(registry)
    put(registry, "ours")
    spec = InputSpec(shape=SHAPE)
    with pytest.raises(WatchTaken, match="'prod' is watched already"):
        registry.watches.choose("prod", SETTINGS, spec)
    with pytest.raises(WatchTaken):
        begin(registry, suspect=Linear(noise=0.1))
    with pytest.raises(UnknownModel):
        registry.watches.choose("new", WatchSettings(model="theirs"), spec)
    with pytest.raises(IncompatibleModel, match="leave out --model"):
        registry.watches.choose("new", WatchSettings(model="ours"), InputSpec(shape=(3, 8, 8)))
    for call in (registry.watches.get, registry.watches.baseline, registry.watches.remove):
        with pytest.raises(UnknownWatch, match="nothing is watched as 'other'"):
            call("other")
    with pytest.raises(UnknownWatch):
        registry.watches.record("other", unheard("no route"))


@pytest.mark.parametrize("wrong", [{"ask": 9, "questions": 8}, {"questions": 2000}, {"alpha": 1.0}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        WatchSettings(**wrong)


def test_a_watch_that_is_removed_is_gone_but_for_the_chain(registry: Registry) -> None:
    suspect = begin(registry)
    look(registry, suspect)
    registry.watches.remove("prod")
    registry.check()
    assert registry.watches.all() == []
    assert look(registry, begin(registry)).number == 1
    registry.check()


def test_two_looks_at_once_are_judged_one_after_the_other(registry: Registry) -> None:
    suspect = begin(registry, suspect=Linear(noise=0.3))
    baseline = registry.watches.baseline("prod")
    places = rotation(baseline, registry.watches.key("prod"), turn=0, count=4)
    both = [observe(baseline, suspect, places, repeatable=False) for _ in range(2)]
    first, second = (registry.watches.record("prod", one) for one in both)
    assert (first.number, second.number) == (1, 2)
    assert first.scores != second.scores
    alone = registry.watches.record("prod", Observation(asked=4, scores=first.scores))
    assert alone.gains != first.gains


def test_eight_processes_at_once_lose_no_run(places: Places) -> None:
    watched = places.named("watching")
    with Registry(watched.at("watched")) as registry:
        begin(registry)
    assert in_processes("watching", watched) == {"runs": ["done"] * 8}
    with Registry(watched.at("watched")) as registry:
        registry.check()
        numbers = [run.number for run in registry.watches.get("prod").runs]
    assert numbers == list(range(1, 41))


def test_a_run_that_is_killed_has_happened_or_not(places: Places) -> None:
    watched = places.named("killing a watch")
    with Registry(watched.at("watched")) as registry:
        begin(registry)
    assert in_processes("killed_watching", watched) == {"before": 0, "after": 0, "never": 1}


def test_no_run_is_judged_by_a_history_that_was_changed(registry: Registry) -> None:
    suspect = begin(registry)
    look(registry, suspect)
    tamper(registry, "UPDATE watch_runs SET document = replace(document, 'unchanged', 'changed')")
    with pytest.raises(Exception, match="watch_runs 1/1: is not what the chain says"):
        look(registry, suspect)
