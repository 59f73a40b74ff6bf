"""Asks suspects at growing numbers of registered models, each number in a process of its own."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any, ParamSpec, TypeVar

from benchmarks.detection.recipe import STUDENT
from benchmarks.detection.zoo import Member
from benchmarks.many.suspects import Suspected
from fingerprint import Verification, load_model
from fingerprint.lab.training import one_thread
from registry import Registry

__all__ = ["Asked", "alone", "asked", "asked_at", "by_change", "growth", "kin_of", "peak"]

P = ParamSpec("P")
T = TypeVar("T")

CLAIMS = ("same", "derived")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What came of one suspect at one number of models.

    Attributes:
        models: How many were registered.
        suspect: Its name.
        change: What it is: a kind of copy, or ``stranger``.
        verdict: The verdict.
        right: For a copy whether it was claimed, as its source or a registered relative of it;
            for a stranger whether it was found independent.
        wrong: Whether it was claimed as what it is not, or a copy found independent.
        queries: How many inputs it was asked.
        seconds: What that took, reading the registry and recording the verdict included.
        candidates: How many models it was asked the probes of.
        lost: Whether the panel ruled out its source.
        kin_lost: How many registered relatives of its source the panel ruled out.
        kin: Of how many.
        strangers_left_out: How many models that are none of its kin the panel ruled out.
        strangers: Of how many.
    """

    models: int
    suspect: str
    change: str
    verdict: str
    right: bool
    wrong: bool
    queries: int
    seconds: float
    candidates: int
    lost: bool
    kin_lost: int
    kin: int
    strangers_left_out: int
    strangers: int


def kin_of(members: Sequence[Member]) -> dict[str, frozenset[str]]:
    """Returns by name the base networks that each network shares weights with."""
    return {
        member.name: frozenset({member.name} if member.group == STUDENT else member.kin)
        for member in members
    }


def peak() -> float:
    """Returns the most memory this process held so far, in MiB."""
    return getrusage(RUSAGE_SELF).ru_maxrss / 2**10


def alone(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a function in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def asked_at(
    registry: Path,
    suspects: Sequence[Suspected],
    kin: Mapping[str, frozenset[str]],
    input_size: tuple[int, ...],
) -> tuple[list[Asked], float]:
    """Verifies every suspect against a registry, in a copy of it.

    Returns:
        What came of each, and by how many MiB the memory grew beyond that of one forward pass.
    """
    found = []
    with (
        one_thread(),
        tempfile.TemporaryDirectory() as folder,
        Registry(shutil.copy(registry, folder)) as opened,
    ):
        names = [model.name for model in opened.models()]
        before = 0.0
        for suspect in suspects:
            model = load_model(suspect.network(), input_size=input_size)
            before = before or peak()
            began = time.perf_counter()
            verification = opened.verify(model)
            seconds = time.perf_counter() - began
            related = {name for name in names if suspect.source in kin[name]}
            found.append(asked(suspect, verification, names, related, seconds))
    return found, peak() - before


def asked(
    suspect: Suspected,
    verification: Verification,
    names: Sequence[str],
    related: set[str],
    seconds: float,
) -> Asked:
    """Returns what came of a suspect.

    Args:
        suspect: The suspect.
        verification: What was found.
        names: Everybody who is registered.
        related: Whom of them it shares weights with.
        seconds: What it took.
    """
    verdict, left_out = verification.verdict, set(verification.not_asked)
    claimed = verdict in CLAIMS
    ours = claimed and verification.best in related
    return Asked(
        models=len(names),
        suspect=suspect.name,
        change=suspect.change,
        verdict=verdict,
        right=ours if suspect.source else verdict == "independent",
        wrong=(claimed and not ours) or (bool(suspect.source) and verdict == "independent"),
        queries=verification.queries,
        seconds=round(seconds, 3),
        candidates=len(verification.candidates),
        lost=suspect.source in left_out,
        kin_lost=len(left_out & related),
        kin=len(related),
        strangers_left_out=len(left_out - related),
        strangers=len(set(names) - related),
    )


HEAD: tuple[str, ...] = (
    "models",
    "queries",
    "most",
    "seconds",
    "most",
    "MiB more",
    "asked their probes",
)
HEAD += ("copies found", "wrong", "source ruled out", "relatives ruled out")
HEAD += ("strangers independent", "claimed", "others ruled out")


def growth(found: Sequence[Asked], memory: Mapping[int, float]) -> Iterator[list[object]]:
    """Yields a row for each number of models."""
    for models in dict.fromkeys(one.models for one in found):
        some = [one for one in found if one.models == models]
        copies = [one for one in some if one.change != "stranger"]
        strangers = [one for one in some if one.change == "stranger"]
        yield [
            models,
            round(statistics.median(one.queries for one in some)),
            max(one.queries for one in some),
            f"{statistics.median(one.seconds for one in some):.1f}",
            f"{max(one.seconds for one in some):.1f}",
            round(memory[models]),
            f"{statistics.mean(one.candidates for one in some):.0f}",
            f"{sum(one.right for one in copies)} of {len(copies)}",
            sum(one.wrong for one in copies),
            sum(one.lost for one in copies),
            f"{sum(one.kin_lost for one in copies)} of {sum(one.kin for one in copies)}",
            f"{sum(one.right for one in strangers)} of {len(strangers)}",
            sum(one.wrong for one in strangers),
            f"{_share(some):.0%}",
        ]


def _share(found: Sequence[Asked]) -> float:
    return sum(one.strangers_left_out for one in found) / sum(one.strangers for one in found)


def by_change(found: Sequence[Asked]) -> Iterator[list[object]]:
    """Yields a row for each kind of suspect at the largest number of models."""
    largest = [one for one in found if one.models == max(one.models for one in found)]
    for change in dict.fromkeys(one.change for one in largest):
        some = [one for one in largest if one.change == change]
        verdicts = [one.verdict for one in some]
        counts = [verdicts.count(kind) for kind in (*CLAIMS, "inconclusive", "independent")]
        yield [change, len(some), *counts, sum(one.wrong for one in some)]


def plain(found: Sequence[Asked]) -> list[dict[str, Any]]:
    """Returns them as JSON values."""
    return [asdict(one) for one in found]
