"""Registers the zoo's networks one by one, and keeps a copy of the registry at some sizes."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.detection.recipe import STUDENT
from benchmarks.detection.zoo import Member
from fingerprint import load_model
from registry import Registry

__all__ = ["SIZES", "registered_networks", "registrable", "snapshot"]

SIZES = (25, 50, 100, 200)
"""Numbers of models at which a suspect is asked."""


def registrable(zoo: Iterable[Member]) -> list[Member]:
    """Returns what is registered, in order: bases, copies of each base in turn, then students.

    ONNX exports are left out: they pass no gradients, and their base is there.
    """
    chosen = [member for member in zoo if member.file.suffix != ".onnx"]
    bases = [member for member in chosen if member.name == member.base]
    copies = [member for member in chosen if member.name != member.base]
    students = [member for member in copies if member.group == STUDENT]
    kin = [member for member in copies if member.group != STUDENT]
    return [*bases, *_in_turn(bases, kin), *_in_turn(bases, students)]


def _in_turn(bases: Sequence[Member], copies: Sequence[Member]) -> list[Member]:
    lines = [[member for member in copies if member.base == base.name] for base in bases]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*lines))
    return [member for member in turns if member is not None]


def registered_networks(
    members: Sequence[Member], folder: Path, input_size: tuple[int, ...], probes: int
) -> list[dict[str, Any]]:
    """Registers networks as an owner would: from their files, with the parent declared.

    What is there already is not registered again, so it goes on where it stopped.

    Args:
        members: In order; a student has no parent, for it shares no weights with its teacher.
        folder: Where the registry is, its copies, and what each registration took.
        input_size: What they take.
        probes: How many of them, the first, get probes; the others are asked the panel alone.

    Returns:
        For each registration its name, seconds, passes and the registry's size afterwards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "registered.jsonl"
    with Registry(folder / "registry.db") as registry:
        there = {model.name for model in registry.models()}
        for place, member in enumerate(members):
            if member.name not in there:
                began = time.perf_counter()
                model = load_model(member.file, arch=arch_of(member), input_size=input_size)
                made = registry.register(
                    model,
                    name=member.name,
                    parent=None if is_root(member) else member.base,
                    answers_only=place >= probes,
                )
                facts = {
                    "models": place + 1,
                    "name": member.name,
                    "seconds": round(time.perf_counter() - began, 2),
                    "solving": round(made.facts["cost"]["seconds"], 2),
                    "probes": made.facts["probes"],
                    "bytes": (folder / "registry.db").stat().st_size,
                }
                with log.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(facts) + "\n")
                print(f"[{place + 1}/{len(members)}] {facts['seconds']:6} s  {member.name}")
            if place + 1 in SIZES:
                _copy(folder / "registry.db", snapshot(folder, place + 1))
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def arch_of(member: Member) -> str:
    """Returns what an owner would give as ``--arch`` for a network of the zoo."""
    folded = ",folded=True" if member.folded else ""
    return f"fingerprint.lab.architectures:build,architecture='{member.architecture}'{folded}"


def is_root(member: Member) -> bool:
    """Whether a network shares weights with none that was there before it."""
    return member.name == member.base or member.group == STUDENT


def snapshot(folder: Path, size: int) -> Path:
    """Returns where the copy of the registry with so many models is."""
    return folder / f"registry-{size}.db"


def _copy(source: Path, target: Path) -> None:
    """Copies a registry that may be in use; a copy that is there stays."""
    if target.exists():
        return
    draft = target.with_suffix(".part")
    draft.unlink(missing_ok=True)
    with sqlite3.connect(source) as from_, sqlite3.connect(draft) as to:
        from_.backup(to)
    to.close()
    from_.close()
    draft.rename(target)
