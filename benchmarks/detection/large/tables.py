"""The tables of the section on 224 pixels in docs/detection.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.detection import tables
from benchmarks.detection.findings import Findings, ratio_range
from benchmarks.detection.results import ITSELF, Pair, load, probe_score
from benchmarks.families.table import siblings
from benchmarks.markdown import decimal, table

__all__ = ["enlarged", "found_elsewhere", "large_tables"]

_ENLARGED = "results224_enlarged.json"
"""What was measured again once early probes were enlarged: networks that were still at hand."""

_SHARED = ("counts", "modifications", "by source", "answers", "independent", "closest")
_LAST = ("missed", "made", "registrations", "networks")


def large_tables(path: Path) -> Mapping[str, Callable[[], str]]:
    """Returns what makes each table, by its name on the page; none without the results file."""
    if not path.exists():
        return {}
    findings = Findings(load(path))
    shared = {name: partial(tables.TABLES[name], findings) for name in (*_SHARED, *_LAST)}
    own: dict[str, Callable[[], str]] = {
        "rates": partial(found_elsewhere, findings),
        "siblings": _siblings(path),
    }
    if (again := path.with_name(_ENLARGED)).exists():
        own["enlarged"] = partial(enlarged, findings, Findings(load(again)))
        own["siblings, enlarged"] = _siblings(again)
    return {f"224: {name}": make for name, make in (shared | own).items()}


def _siblings(path: Path) -> Callable[[], str]:
    return partial(siblings, json.loads(path.read_text(encoding="utf-8"))["families"])


def enlarged(before: Findings, now: Findings) -> str:
    """Shows pairs that were measured twice: with earlier probes, and with those enlarged."""
    earlier = {(pair.source, pair.suspect): pair for pair in before.results.pairs}
    itself = [pair for pair in now.results.pairs if pair.modification == ITSELF]
    related = [(name, pairs) for name, _, pairs in now.rows]
    rows: list[tuple[object, ...]] = []
    for name, pairs in ((ITSELF, itself), *related, ("*all: independent*", now.judged)):
        twice = [pair for pair in pairs if (pair.source, pair.suspect) in earlier]
        first = [earlier[pair.source, pair.suspect] for pair in twice]
        if twice:
            both = [f(which) for f in (_claimed, ratio_range) for which in (first, twice)]
            rows.append((name, len(twice), *both))
    head = ("suspect", "pairs", "claimed, before", "claimed, now")
    return table((*head, "harm ratio, before", "harm ratio, now"), rows)


def _claimed(pairs: Sequence[Pair]) -> str:
    return f"{sum(pair.accused() for pair in pairs)} of {len(pairs)}"


def found_elsewhere(findings: Findings) -> str:
    """Shows what is found of each source at the threshold that the other sources set.

    It is the highest score of an independent pair of theirs.
    """
    rows = []
    for source in findings.results.main_sources:
        others = [pair for pair in findings.judged if pair.source != source]
        own = [pair for pair in findings.judged if pair.source == source]
        limit = max(score for pair in others if (score := probe_score(pair)) is not None)
        counted = [_passing(own, limit)]
        for group in findings.results.groups:
            pairs = [pair for pair in findings.related(group) if pair.source == source]
            counted.append(_passing(pairs, limit))
        rows.append((source, len(others), decimal(limit), *counted))
    head = ("source", "pairs of the others", "their highest score", "independent above it")
    return table((*head, *(f"{group}, found" for group in findings.results.groups)), rows)


def _passing(pairs: list[Pair], limit: float) -> str:
    scores = [probe_score(pair) for pair in pairs]
    return f"{sum(score is not None and score > limit for score in scores)} of {len(scores)}"
