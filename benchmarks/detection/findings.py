"""What is computed from the results once and shown in several tables of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from benchmarks.detection.metrics import auc, detection_rate, split
from benchmarks.detection.results import (
    OURS,
    Evaluation,
    Pair,
    Results,
    evaluate,
    probe_score,
    query_score,
    works,
)
from benchmarks.markdown import decimal

__all__ = ["MISSED_BELOW", "Findings", "ratio_range", "ratios", "typical"]

MISSED_BELOW = 0.9
"""A modification found less often than this is listed as out of reach."""


@dataclass(frozen=True)
class Findings:
    """Results, and what is computed from them once for several tables."""

    results: Results

    @cached_property
    def judged(self) -> tuple[Pair, ...]:
        """Independent pairs that got a verdict from logits."""
        return tuple(pair for pair in self.results.independent() if pair.verdict())

    @cached_property
    def rows(self) -> tuple[tuple[str, str, tuple[Pair, ...]], ...]:
        """Modification, group and related pairs; by group, then by harm ratio."""
        found: dict[tuple[str, str], list[Pair]] = {}
        for pair in self.results.related():
            if pair.verdict():
                found.setdefault((pair.group, pair.modification), []).append(pair)
        groups = self.results.groups

        def place(row: tuple[tuple[str, str], list[Pair]]) -> tuple[int, float, str]:
            return groups.index(row[0][0]), typical(row[1]), row[0][1]

        return tuple(
            (modification, group, tuple(pairs))
            for (group, modification), pairs in sorted(found.items(), key=place)
        )

    @cached_property
    def by_row(self) -> Mapping[tuple[str, str], Evaluation]:
        """Our method with every probe, by modification and group."""
        return {
            (modification, group): evaluate(pairs, self.judged, probe_score)
            for modification, group, pairs in self.rows
        }

    @cached_property
    def by_group(self) -> Mapping[str, Evaluation]:
        """Our method with every probe, by group."""
        return {
            group: evaluate(self.related(group), self.judged, probe_score)
            for group in self.results.groups
        }

    @cached_property
    def working(self) -> tuple[Pair, ...]:
        """Pairs that share weights, of suspects that keep half of what the source does."""
        members = {str(member["name"]): member for member in self.results.members}
        return tuple(
            pair
            for pair in self.related("shares weights")
            if works(members[pair.suspect], members[pair.source])
        )

    def related(self, group: str) -> tuple[Pair, ...]:
        """Returns the related pairs of a group that got a verdict from logits."""
        return tuple(pair for pair in self.results.related(group) if pair.verdict())

    @cached_property
    def compared(self) -> Mapping[tuple[str, str, int], Evaluation]:
        """Every method, by group, method and number of queries; 0 for one that reads weights."""
        results, found = self.results, {}
        for method in results.methods:
            for queries in (0,) if results.white_box(method) else results.budgets:
                others = _measured(results.independent(), method, queries)
                for group in results.groups:
                    pairs = _measured(results.related(group), method, queries)
                    if pairs:
                        score = query_score(method, queries)
                        found[group, method, queries] = evaluate(pairs, others, score)
        return found

    @cached_property
    def queries_by_row(self) -> Mapping[tuple[str, str, int], tuple[float | None, ...]]:
        """Ours by modification, group and queries: AUC, found at 1 % and at 5 %."""
        found = {}
        for queries in self.results.budgets:
            others = _measured(self.results.independent(), OURS, queries)
            score = query_score(OURS, queries)
            for modification, group, pairs in self.rows:
                asked = (*_measured(pairs, OURS, queries), *others)
                parts = split([score(pair) for pair in asked], [pair.related for pair in asked])
                rates = (
                    detection_rate(parts.related, parts.independent, rate).value
                    for rate in (0.01, 0.05)
                )
                area = auc(parts.related, parts.independent)
                found[modification, group, queries] = (area, *rates)
        return found

    def best_rival(self, group: str, queries: int) -> tuple[str, Evaluation] | None:
        """Returns the black-box rival that finds most at 1 % false positives."""
        rivals = [
            (method, self.compared[group, method, queries])
            for method in self.results.methods
            if method != OURS and (group, method, queries) in self.compared
        ]
        return max(
            rivals,
            key=lambda rival: (rival[1].tpr1.value or 0, rival[1].auc.value or 0),
            default=None,
        )

    @cached_property
    def p_values_by_test(self) -> Mapping[tuple[str, str], list[float]]:
        """P-values of independent pairs by test and kind of answer, each test by itself.

        Harm ratios go by class of depth, each held against the margin of its class.
        """
        classes = {
            source["name"]: {name: group for name, group, _ in source["depths"]}
            for source in self.results.sources
        }
        found: dict[tuple[str, str], list[float]] = {
            (test, kind): []
            for test in ("linear", "early", "late", "individual", "resemblance")
            for kind in self.results.kinds
        }
        for pair in self.results.independent():
            for kind, said in pair.verdicts.items():
                values = [("resemblance", said.get("resemblance_p"))]
                for depth, (*_, p_value) in said.get("depths", {}).items():
                    values.append((classes[pair.source][depth], p_value))
                for test, p_value in values:
                    if p_value is not None:
                        found[test, kind].append(p_value)
        return {key: values for key, values in found.items() if values}

    @cached_property
    def missed(self) -> tuple[tuple[str, str], ...]:
        """Modifications, with their group, that are found less often than they should be."""
        return tuple(
            key
            for key, found in self.by_row.items()
            if found.tpr1.value is None or found.tpr1.value < MISSED_BELOW
        )


def _measured(pairs: Iterable[Pair], method: str, queries: int) -> tuple[Pair, ...]:
    return tuple(pair for pair in pairs if str(queries) in pair.scores.get(method, {}))


def ratios(pairs: Iterable[Pair]) -> list[float]:
    return [ratio for pair in pairs if (ratio := pair.ratio()) is not None]


def typical(pairs: Iterable[Pair]) -> float:
    return median(ratios(pairs) or [float("inf")])


def ratio_range(pairs: Iterable[Pair]) -> str:
    values = ratios(pairs)
    if not values:
        return "-"
    low, high = decimal(min(values)), decimal(max(values))
    return low if low == high else f"{low} to {high}"
