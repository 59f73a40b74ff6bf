"""A registry of up to 10,000 simulated models around a real one, read and asked as any other."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, event

from benchmarks.many.asking import alone, peak
from benchmarks.panel import simulated
from fingerprint import Fingerprint, Model, extract, load_model
from fingerprint.canonical import sha256_of
from fingerprint.lab import data, modifications, networks, training
from fingerprint.probes.codec import encode
from registry import Registry, Result
from registry.registration import finished

__all__ = ["HEAD", "simulate"]

HEAD: tuple[str, ...] = (
    "models",
    "file, MiB",
    "writing one, ms",
    "of them computing",
    "queries",
    "seconds",
    "of them computing",
    "statements",
    "MiB more",
)
HEAD += ("asked their probes", "verdict", "of the right model")
_OWN = "own"


def simulate(sizes: Sequence[int], *, limit: float) -> Iterator[list[object]]:
    """Yields a row for each number of models: a fresh copy of the real one is the suspect.

    Args:
        sizes: Numbers of models, ascending.
        limit: Seconds after which no more are written; the last row is then of as many as there
            are.
    """
    stop = time.perf_counter() + limit
    images = data.digits()
    network = training.train(training.untrained(networks.cnn, 0), images, seed=0)
    model = load_model(network, input_size=images.input_size)
    suspect = modifications.quantised(network, bits=6)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "registry.db"
        with Registry(path) as registry:
            own = extract(model, seed=registry.seed)
            results = _results(registry, model, own, max(sizes), generator)
            there = 0
            for size in sizes:
                spent, written = _Spent(), 0
                while there + written < size and time.perf_counter() < stop:
                    result = next(results)
                    with spent:
                        registry.commit(result)
                    written += 1
                there += written
                if written:
                    yield [
                        there,
                        round(path.stat().st_size / 2**20),
                        f"{1000 * spent.seconds / written:.1f}",
                        f"{1000 * spent.computing / written:.1f}",
                        *alone(_verified, path, suspect, images.input_size),
                    ]


class _Spent:
    """Seconds spent inside its ``with`` blocks, and how many of them computing.

    They differ where other work shares the machine, and while a disk is waited for.
    """

    def __init__(self) -> None:
        self.seconds = self.computing = 0.0

    def __enter__(self) -> None:
        self.seconds -= time.perf_counter()
        self.computing -= time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
        self.computing += time.process_time()


def _verified(path: Path, network: networks.Cnn, input_size: tuple[int, ...]) -> list[object]:
    """Verifies a suspect in a copy of a registry."""
    statements: list[str] = []
    event.listen(Engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    with (
        training.one_thread(),
        tempfile.TemporaryDirectory() as folder,
        Registry(shutil.copy(path, folder)) as registry,
    ):
        model = load_model(network, input_size=input_size)
        statements.clear()
        before, spent = peak(), _Spent()
        with spent:
            found = registry.verify(model)
    return [
        found.queries,
        f"{spent.seconds:.1f}",
        f"{spent.computing:.1f}",
        len(statements),
        round(peak() - before),
        len(found.candidates),
        found.verdict,
        found.best == _OWN,
    ]


def _results(
    registry: Registry,
    model: Model,
    own: Fingerprint,
    count: int,
    generator: np.random.Generator,
) -> Iterator[Result]:
    """Yields the real model's registration, then those of simulated ones.

    Each answers the panel as :func:`benchmarks.panel.simulated` says, and has probes of its own:
    those of the real one with their pixels in another order, which nothing here solved.
    """
    task = registry.plan(model, name=_OWN)
    first = finished(task, model, own)
    yield first
    assert first.model is not None
    deltas = [probe.harmless.astype(int) - own.bases[probe.base] for probe in own.probes]
    size = own.panel_answers.std()
    for place, answers in enumerate(simulated(count - 1, generator)):
        order = generator.permutation(own.input.size)
        probes = tuple(
            replace(
                probe,
                harmless=(
                    own.bases[probe.base] + delta.reshape(-1)[order].reshape(delta.shape)
                ).astype(np.uint8),
            )
            for probe, delta in zip(own.probes, deltas, strict=True)
        )
        digest = sha256_of(f"simulated {place}")
        made = replace(own, model_digest=digest, probes=probes, panel_answers=size * answers)
        blob = encode(made)
        described = replace(
            first.model,
            name=f"simulated-{place}",
            model_digest=digest,
            commitment=made.commitment(sha256_of(blob), first.model.registered),
        )
        yield Result(
            task=replace(task, name=described.name, model_digest=digest), model=described, blob=blob
        )
