"""The tables of docs/power.md: how many queries a claim takes, so that one can plan.

    TABLES["queries"](Findings(load(RESULTS)))

Each pair was verified with the first probes of its source's fingerprint, more and more of them.
What it took is the least number from which on every larger one claims the suspect, *same* or
*derived*: a claim that comes and goes with a few probes more is none to rely on. Where the largest
number does not claim a pair, what it would take is extrapolated from the p-value there, up to four
times as many, and marked with a star: the standardised sum of a test grows with the square root of
the number of probes. The page is written with ``python -m benchmarks.detection.page``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median_high
from typing import Any

from scipy.stats import norm

from benchmarks.detection.findings import Findings
from benchmarks.detection.results import GROUPS, ITSELF, Pair, Results
from benchmarks.markdown import table
from fingerprint.evidence.rare_labels import PICTURES
from fingerprint.narrowing import NEAREST

__all__ = ["PAGE_NAME", "TABLES", "extrapolated", "lengths", "probes_needed"]

PAGE_NAME = "power.md"
_NOT_REACHED = "not reached"
_CROWDS = (1, 10, 100, 1000)
_PARTS = {"repeated": "asked twice", "probes": "harmless"}
_SHARES = GROUPS[0]
_FURTHEST = 4
"""Times the largest number of probes tried, up to which is extrapolated."""


def lengths(results: Results) -> Mapping[int, int]:
    """Returns how many queries one candidate takes, by number of probes."""
    return {
        cost["probes"]: sum(cost["asked"].values())
        for cost in results.costs
        if cost["candidates"] == 1
    }


def probes_needed(pair: Pair, kind: str, tried: Iterable[int]) -> float:
    """Returns the least number of probes from which on all larger ones claim a pair; else inf.

    Args:
        pair: A source and a suspect.
        kind: What the suspect answers.
        tried: The numbers of probes that were tried.
    """
    claimed = set(pair.power[kind]["claimed"])
    needed = math.inf
    for probes in sorted(tried, reverse=True):
        if probes not in claimed:
            break
        needed = probes
    return needed


def extrapolated(p_value: float | None, probes: int, alpha: float) -> float:
    """Returns about how many probes would bring a p-value down to alpha; inf where none would.

    Args:
        p_value: With so many probes.
        probes: So many.
        alpha: To get to.
    """
    if p_value is None or p_value >= 0.5:
        return math.inf
    z = norm.ppf(p_value)
    return max(1.0, float(norm.ppf(alpha) / z) ** 2) * probes


def queries(findings: Findings) -> str:
    """Shows, by modification and kind of answer, how many queries a claim took."""
    results = findings.results
    itself = tuple(pair for pair in results.pairs if pair.modification == ITSELF and pair.power)
    groups = [(ITSELF, itself), *((name, pairs) for name, _, pairs in findings.rows)]
    rows = [
        (name, len(chosen), *(_needed(chosen, kind, results) for kind in results.kinds))
        for name, pairs in groups
        if (chosen := [pair for pair in pairs if pair.power])
    ]
    return table(("suspect", "pairs", *results.kinds), rows)


def _needed(pairs: Sequence[Pair], kind: str, results: Results) -> str:
    """Writes the median and the worst; where the median is not reached, how many pairs are."""
    found = sorted(_queries_needed(pair, kind, results) for pair in pairs)
    typical = median_high(found)
    if typical[0] < math.inf:
        return f"{_starred(*typical)} [{_starred(*found[-1])}]"
    reached = [asked for asked, guessed in found if asked < math.inf and not guessed]
    if not reached:
        return _NOT_REACHED
    return f"{_NOT_REACHED} [{len(reached)} of {len(found)}: {_starred(reached[-1], False)}]"


def _starred(asked: float, guessed: bool) -> str:
    if asked == math.inf:
        return _NOT_REACHED
    return f"{float(f'{asked:.2g}'):.0f}*" if guessed else f"{asked:.0f}"


def _queries_needed(pair: Pair, kind: str, results: Results) -> tuple[float, bool]:
    """Returns how many queries a claim takes, and whether that is extrapolated."""
    asked = lengths(results)
    probes = probes_needed(pair, kind, asked)
    if probes < math.inf:
        return asked[int(probes)], False
    most = max(asked)
    more = extrapolated(pair.power[kind]["p"][str(most)], most, results.alpha) - most
    if not 0 < more <= (_FURTHEST - 1) * most:
        return math.inf, False
    one = next(cost["asked"] for cost in results.costs if cost["probes"] == most)
    return asked[most] + more * (1 + one["turns"] / one["probes"]), True


def claimed(findings: Findings) -> str:
    """Shows how many pairs of each group are claimed with so many queries."""
    results = findings.results
    asked = lengths(results)
    rows = []
    for kind in results.kinds:
        for group in (*results.groups, "independent"):
            pairs = results.independent() if group == "independent" else results.related(group)
            known = [set(pair.power[kind]["claimed"]) for pair in pairs if kind in pair.power]
            if known:
                counts = [sum(probes in one for one in known) for probes in asked]
                rows.append((kind, group, len(known), *counts))
    head = (f"{probes} probes, {count} queries" for probes, count in asked.items())
    return table(("answers", "suspects", "pairs", *head), rows)


def crowds(findings: Findings) -> str:
    """Shows how many suspects that share weights are claimed from logits among many candidates."""
    results = findings.results
    asked = lengths(results)
    known = [pair.power["logits"] for pair in results.related(_SHARES) if "logits" in pair.power]
    rows = [
        (count, *(_among(known, probes, results.alpha / count) for probes in asked))
        for count in _CROWDS
        if known
    ]
    return table(("candidates", *(f"{probes} probes" for probes in asked)), rows)


def _among(known: Sequence[Mapping[str, Any]], probes: int, level: float) -> str:
    """Counts claims whose p-value stands a correction for all candidates."""
    hits = 0
    for found in known:
        p_value = found["p"][str(probes)]
        hits += probes in found["claimed"] and p_value is not None and p_value <= level
    return f"{hits} of {len(known)}"


def guesses(findings: Findings) -> str:
    """Shows how extrapolating from half of the probes fares against all of them."""
    results = findings.results
    tried = lengths(results)
    most = max(tried, default=0)
    half = max((probes for probes in tried if 2 * probes <= most), default=0)
    rows = []
    for kind in results.kinds:
        open_pairs = [
            pair
            for pair in results.related()
            if kind in pair.power and half and half not in pair.power[kind]["claimed"]
        ]
        for expected in (True, False):
            chosen = [
                pair
                for pair in open_pairs
                if expected
                == (extrapolated(pair.power[kind]["p"][str(half)], half, results.alpha) <= most)
            ]
            hits = sum(most in pair.power[kind]["claimed"] for pair in chosen)
            said = "claimed" if expected else "not claimed"
            rows.append((kind, said, len(chosen), hits))
    head = ("answers", f"said from {half} probes of {most}", "pairs", f"claimed with {most}")
    return table(head, rows)


def costs(findings: Findings) -> str:
    """Shows what one candidate costs, part by part."""
    results = findings.results
    rows = [
        (
            cost["probes"],
            *cost["asked"].values(),
            sum(cost["asked"].values()),
        )
        for cost in results.costs
        if cost["candidates"] == 1
    ]
    parts = list(results.costs[0]["asked"]) if results.costs else []
    head = ("probes", *(_PARTS.get(part, part) for part in parts), "queries")
    return table(head, rows)


def candidates(findings: Findings) -> str:
    """Shows what more candidates cost; beyond a number the panel says who is asked at all."""
    results = findings.results
    totals = {
        (cost["candidates"], cost["probes"]): sum(cost["asked"].values()) for cost in results.costs
    }
    counts = sorted({count for count, _ in totals})
    rows: list[Sequence[object]] = [
        (count, *(totals[count, probes] for probes in lengths(results))) for count in counts
    ]
    if NEAREST in counts:
        least = (f"at least {totals[NEAREST, probes]}" for probes in lengths(results))
        rows.append((f"more than {NEAREST}", *least))
    rows.append(("rare labels, each", *(f"at most {PICTURES} more" for _ in lengths(results))))
    head = (f"{probes} probes" for probes in lengths(results))
    return table(("candidates", *head), rows)


TABLES: Mapping[str, Callable[[Findings], str]] = {
    "costs": costs,
    "candidates": candidates,
    "queries": queries,
    "claimed": claimed,
    "crowds": crowds,
    "guesses": guesses,
}
"""Each table of the page by the name its place there has."""
