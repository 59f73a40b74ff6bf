"""The tables of the section on 224 pixels in docs/detection.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.detection import tables
from benchmarks.detection.findings import Findings
from benchmarks.detection.results import Pair, load, probe_score
from benchmarks.markdown import decimal, table

__all__ = ["found_elsewhere", "large_tables"]

_SHARED = ("counts", "modifications", "by source", "answers", "independent", "closest")
_LAST = ("missed", "made", "registrations", "networks")


def large_tables(path: Path) -> Mapping[str, Callable[[], str]]:
    """Returns what makes each table, by its name on the page; none without the results file."""
    if not path.exists():
        return {}
    findings = Findings(load(path))
    shared = {name: partial(tables.TABLES[name], findings) for name in (*_SHARED, *_LAST)}
    own = {"rates": partial(found_elsewhere, findings)}
    return {f"224: {name}": make for name, make in (shared | own).items()}


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
