"""Processes that use one registry at once, or are killed while they do.

Run as ``python -m tests.registry.crowd TASK ADDRESS PREFIX``, the last two those of places where
registries can be kept; prints one JSON document. A script of
its own, because children are forked from it: the libraries are imported once, and the test
process with its threads is never forked. Children do not compute: torch's threads do not survive a
fork either.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from fingerprint.watching import Observation
from registry import Registry, RegistryError, ledger
from registry.registration import finished
from tests.registry.conftest import result_of
from tests.registry.places import Place, Places, places_at
from tests.support.fingerprints import make_fingerprint, make_model

MODELS = [make_model(seed, path=f"/models/{seed}.safetensors") for seed in range(8)]


def together(jobs: list[Callable[[], None]]) -> list[str]:
    """Runs each job in a process, all let go at one moment; returns what each died of."""
    gate_read, gate_write = os.pipe()
    children = []
    for job in jobs:
        result_read, result_write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(gate_write)
            os.read(gate_read, 1)
            try:
                job()
                outcome = "done"
            except Exception as error:
                outcome = f"{type(error).__name__}: {error}"
            die_with(partial(os.write, result_write, outcome.encode()))
        os.close(result_write)
        children.append((child, result_read))
    os.close(gate_read)
    os.close(gate_write)
    outcomes = []
    for child, result_read in children:
        with os.fdopen(result_read, "rb") as result:
            outcomes.append(result.read().decode())
        os.waitpid(child, 0)
    return outcomes


def store(place: Place, name: str, seed: int = 0) -> None:
    with Registry(place) as registry:
        registry.commit(result_of(registry, name, MODELS[seed]))


def crowd(places: Places) -> dict[str, list[str]]:
    """Lets eight processes do the same thing at once, in four ways."""
    new, different, same, twice = map(places.at, ("new", "different", "same", "twice"))
    return {
        "create": together([lambda: Registry(new).close()] * 8),
        "different": together(
            [partial(store, different, f"model {seed}", seed) for seed in range(8)]
        ),
        "same": together([partial(store, same, "model", seed) for seed in range(8)]),
        "twice": together([partial(store, twice, f"name {index % 2}") for index in range(8)]),
    }


def kill(places: Places) -> dict[str, object]:
    """Kills a process at a random moment of storing a model, fifty times.

    Every third time it is the creation of the registry that is killed. The moments close in on
    the end of the transaction: later after a kill that came too early, earlier after one that
    came too late.
    """
    moments = random.Random(0)
    old = places.at("killed")
    store(old, "first")
    latest = {True: 0.1, False: 0.05}
    stored, wrong = 0, []
    for index in range(1, 51):
        new = index % 3 == 0
        target, name = places.at(f"killed {index}") if new else old, f"model {index}"
        child = os.fork()
        if child == 0:
            die_with(partial(store, target, name, index % 8))
        time.sleep(moments.uniform(0, latest[new]))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
            wrong.append(f"{name}: failed by itself")
        there = after_kill(target, name, wrong)
        latest[new] *= 0.9 if there else 1.2
        stored += there
    return {"stored": stored, "wrong": wrong}


def renew(places: Places) -> dict[str, object]:
    """Kills a process that renews a fingerprint, before and after its entry in the chain."""
    place = places.at("renewed")
    store(place, "first")
    with Registry(place) as registry:
        task = registry.plan(MODELS[0], again="first")
        made = make_fingerprint(MODELS[0], seed=registry.seed, probes=7)
    result = finished(task, MODELS[0], made)
    return killed_around_the_entry(
        place,
        lambda: Registry(place).commit(result),
        lambda registry: registry.model("first").probes,
    )


def killed_around_the_entry(
    place: Place, write: Callable[[], object], read: Callable[[Registry], object]
) -> dict[str, object]:
    """Lets processes write, killed before and after the entry in the chain; returns what is read.

    The last one is not killed.
    """
    append = ledger.append
    found: dict[str, object] = {}
    for moment in ("before", "after", "never"):

        def dying(*arguments: Any, moment: str = moment, **named: Any) -> Any:
            entry = append(*arguments, **named) if moment != "before" else None
            if moment != "never":
                os.kill(os.getpid(), signal.SIGKILL)
            return entry

        child = os.fork()
        if child == 0:
            ledger.append = dying
            die_with(write)
        os.waitpid(child, 0)
        with Registry(place) as registry:
            registry.check()
            found[moment] = read(registry)
    return found


SEEN = Observation(asked=4, scores=((0, 0.0), (3, 0.0)), queries=4)


def look(place: Place, times: int = 1) -> None:
    for _ in range(times):
        with Registry(place) as registry:
            registry.watches.record("prod", SEEN)


def watching(places: Places) -> dict[str, list[str]]:
    """Lets eight processes look at one watched target, five times each."""
    return {"runs": together([partial(look, places.at("watched"), 5)] * 8)}


def killed_watching(places: Places) -> dict[str, object]:
    """Kills processes that record a run, before and after its entry in the chain."""
    place = places.at("watched")
    return killed_around_the_entry(
        place,
        partial(look, place),
        lambda registry: len(registry.watches.get("prod").runs),
    )


def die_with(job: Callable[[], object]) -> NoReturn:
    """Ends a forked child after its job, without running anything of its parent's."""
    status = 1
    try:
        job()
        status = 0
    finally:
        os._exit(status)


def after_kill(place: Place, name: str, wrong: list[str]) -> bool:
    """Opens the registry as the next user would; returns whether the model is there."""
    try:
        with Registry(place) as registry:
            registry.check()
            there = name in [model.name for model in registry.models()]
            if there and len(registry.fingerprint(name).probes) != registry.model(name).probes:
                wrong.append(f"{name}: half a model")
            return there
    except RegistryError as error:
        wrong.append(f"{name}: {error}")
        return False


def prepare() -> None:
    """Imports what the children need, once for all of them."""
    with Registry("sqlite://") as registry:
        registry.commit(result_of(registry, "first", MODELS[0]))
        registry.check()


if __name__ == "__main__":
    prepare()
    works: dict[str, Callable[[Places], object]] = {
        "crowd": crowd,
        "kill": kill,
        "killed_watching": killed_watching,
        "renew": renew,
        "watching": watching,
    }
    print(json.dumps(works[sys.argv[1]](places_at(*sys.argv[2:]))))
