"""The committed results file as values: pairs of networks, and what was measured on them.

    results = load(Path("benchmarks/detection/results.json"))
    evaluate(results.related("shares weights"), results.independent(), probe_score).tpr1

Nothing here computes a number that is not in the file; :mod:`benchmarks.detection.metrics` does.
A score that is null was asked for and could not be given. One that is not there at all was never
measured, and its pair is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.detection.metrics import (
    Estimate,
    auc_estimate,
    detection_rate,
    pair_weights,
    split,
)
from fingerprint.errors import EnvironmentFailure, MalformedFile

__all__ = [
    "GROUPS",
    "ITSELF",
    "KINDS",
    "OURS",
    "VERDICTS",
    "Evaluation",
    "Pair",
    "Results",
    "evaluate",
    "load",
    "probe_score",
    "query_score",
]

OURS = "harmless"
GROUPS = ("shares weights", "student", "adversarial training")
KINDS = ("logits", "probabilities", "top-5", "labels")
VERDICTS = ("same", "derived", "inconclusive", "independent")
ITSELF = "the source itself"
_WHITE_BOX = "0"
_KEPT = 0.5


@dataclass(frozen=True)
class Pair:
    """A source, a suspect, and what was measured on the two.

    Attributes:
        source: Name of the source.
        suspect: Name of the suspect.
        related: Whether the suspect descends from the source.
        base: The base network the suspect descends from.
        modification: What was done to it, a row of the tables.
        group: ``shares weights``, ``student``, ``adversarial training``, or ``base``.
        same_architecture: Whether both have one architecture.
        unchanged: Whether the suspect is a base network as it was trained.
        scores: By method, then by number of queries.
        p_exchangeable: p-value with a margin of 1; None without evidence.
        p_margin: p-value with the margin in use; None without evidence.
        verdicts: By kind of answer: verdict, ratio, low, high, p, queries.
        power: By kind of answer: p-values by number of probes, and the numbers that claimed it.
    """

    source: str
    suspect: str
    related: bool
    base: str
    modification: str
    group: str
    same_architecture: bool
    unchanged: bool
    scores: Mapping[str, Mapping[str, float | None]]
    p_exchangeable: float | None
    p_margin: float | None
    verdicts: Mapping[str, Mapping[str, Any]]
    power: Mapping[str, Mapping[str, Any]]

    @property
    def cluster(self) -> frozenset[str]:
        """The two base networks it is about; copies of them are no further evidence."""
        return frozenset((self.source, self.base))

    def verdict(self, kind: str = "logits") -> str | None:
        """Returns the verdict with that kind of answer; None where it was not asked for."""
        return (self.verdicts.get(kind) or {}).get("verdict")

    def ratio(self, kind: str = "logits") -> float | None:
        """Returns the harm ratio with that kind of answer; None without evidence."""
        value = (self.verdicts.get(kind) or {}).get("ratio")
        return value if value is not None and math.isfinite(value) else None

    def margin(self, kind: str = "logits") -> float | None:
        """Returns the margin of the source that the verdict was given at."""
        value = (self.verdicts.get(kind) or {}).get("margin")
        return value if value else None

    def accused(self, kind: str = "logits") -> bool:
        """Says whether the suspect was called the source or derived from it."""
        return self.verdict(kind) in ("same", "derived")


@dataclass(frozen=True)
class Results:
    """The results file.

    Attributes:
        made: How it was made: command, date, commit, machine and so on.
        budgets: Numbers of queries the methods were compared at.
        alpha: Significance level of the verdicts.
        members: The networks of the zoo, as in the file.
        sources: What registering each source cost, as in the file.
        costs: What a verification asks, by number of candidates and probes, as in the file.
        pairs: Every pair measured.
    """

    made: Mapping[str, Any]
    budgets: tuple[int, ...]
    alpha: float
    members: tuple[Mapping[str, Any], ...]
    sources: tuple[Mapping[str, Any], ...]
    costs: tuple[Mapping[str, Any], ...]
    pairs: tuple[Pair, ...]

    def related(self, group: str | None = None) -> tuple[Pair, ...]:
        """Returns the related pairs of a group, or of all; never a source with itself."""
        return tuple(
            pair
            for pair in self.pairs
            if pair.related
            and pair.modification != ITSELF
            and (group is None or pair.group == group)
        )

    def independent(self) -> tuple[Pair, ...]:
        """Returns the independent pairs."""
        return tuple(pair for pair in self.pairs if not pair.related)

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of related pairs that were measured, in the order of the tables."""
        found = {pair.group for pair in self.related()}
        return (*(g for g in GROUPS if g in found), *sorted(found - set(GROUPS)))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of answer that were measured, most telling first."""
        found = {kind for pair in self.pairs for kind in pair.verdicts}
        return (*(kind for kind in KINDS if kind in found), *sorted(found - set(KINDS)))

    @property
    def main_sources(self) -> tuple[str, ...]:
        """Names of the sources whose derived copies exist."""
        return tuple(str(member["name"]) for member in self.members if member["source"])

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods, ours first, and those that read the weights last."""
        found = list(dict.fromkeys(name for pair in self.pairs for name in pair.scores))
        return tuple(sorted(found, key=lambda name: (name != OURS, self.white_box(name))))

    def white_box(self, method: str) -> bool:
        """Says whether a method needs the weights, so that it asks no queries."""
        asked = {queries for pair in self.pairs for queries in pair.scores.get(method, {})}
        return asked == {_WHITE_BOX}


def works(suspect: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Whether a network keeps half of what its source does better than chance.

    Args:
        suspect: A member of the zoo, as in the file.
        source: What it was made of.
    """
    return _above_chance(suspect) >= _KEPT * _above_chance(source)


def _above_chance(member: Mapping[str, Any]) -> float:
    return float(member["accuracy"] - 1 / member["classes"])


Score = Callable[[Pair], "float | None"]


def probe_score(pair: Pair) -> float | None:
    """Scores a pair by its harm ratio with every probe, from logits; higher is more related.

    The ratio is read relative to the source's margin, where the results hold it: 0 is the margin.
    """
    ratio, margin = pair.ratio(), pair.margin()
    return None if ratio is None else math.log((margin or 1.0) / max(ratio, 1e-300))


def query_score(method: str, queries: int) -> Score:
    """Returns the score of a method within a number of queries, which must have been measured."""

    def score(pair: Pair) -> float | None:
        return pair.scores[method][str(queries)]

    return score


@dataclass(frozen=True)
class Evaluation:
    """How well a score finds some related pairs.

    Attributes:
        auc: Area under the ROC curve.
        tpr1: Share found with a threshold that 1 % of the independent pairs pass.
        tpr5: Likewise 5 %.
        independents: Independent pairs the thresholds come from.
        unanswered: Related pairs the method could not answer; they count as not found.
        excluded: Independent pairs it could not answer; they are left out.
    """

    auc: Estimate
    tpr1: Estimate
    tpr5: Estimate
    independents: int
    unanswered: int
    excluded: int


def evaluate(related: Sequence[Pair], independent: Sequence[Pair], score: Score) -> Evaluation:
    """Measures how well a score separates related pairs from independent ones."""
    pairs = (*related, *independent)
    parts = split([score(pair) for pair in pairs], [pair.related for pair in pairs])
    weights = pair_weights(parts, [pair.source for pair in pairs], [pair.base for pair in pairs])
    return Evaluation(
        auc=auc_estimate(parts.related, parts.independent, weights),
        tpr1=detection_rate(parts.related, parts.independent, 0.01, weights),
        tpr5=detection_rate(parts.related, parts.independent, 0.05, weights),
        independents=len(parts.independent),
        unanswered=parts.unanswered,
        excluded=parts.excluded,
    )


def load(path: Path) -> Results:
    """Reads a results file.

    Raises:
        EnvironmentFailure: The file cannot be read.
        MalformedFile: It is no results file of schema 1.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EnvironmentFailure(
            f"expected the benchmark's results at {path}, got: {error.strerror}; "
            "make them with: make detection"
        ) from error
    except ValueError as error:
        raise MalformedFile(f"{path}: expected JSON, got: {error}; run make detection") from error
    return read(document, str(path))


def read(document: Any, name: str = "results") -> Results:
    """Turns a results document into values.

    Raises:
        MalformedFile: It is not of schema 1, lacks a field, or names an unknown member.
    """
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != 1:
        raise MalformedFile(f"{name}: expected schema 1, got {schema!r}; run make detection")
    try:
        members = {member["name"]: member for member in document["members"]}
        return Results(
            made=document.get("made") or {},
            budgets=tuple(document["budgets"]),
            alpha=float(document["alpha"]),
            members=tuple(document["members"]),
            sources=tuple(document.get("sources") or ()),
            costs=tuple(document.get("costs") or ()),
            pairs=tuple(_pair(pair, members) for pair in document["pairs"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedFile(
            f"{name}: expected a complete results file, got one without {error}; run make detection"
        ) from error


def _pair(pair: Mapping[str, Any], members: Mapping[str, Mapping[str, Any]]) -> Pair:
    source, suspect = members[pair["source"]], members[pair["suspect"]]
    itself = pair["source"] == pair["suspect"]
    verdicts = pair.get("verdicts") or {}
    return Pair(
        source=pair["source"],
        suspect=pair["suspect"],
        related=bool(pair["related"]),
        base=suspect["base"],
        modification=ITSELF if itself else suspect["modification"],
        group="student" if pair["source"] == suspect.get("teacher") else suspect["group"],
        same_architecture=source["architecture"] == suspect["architecture"],
        unchanged=suspect["name"] == suspect["base"],
        scores=pair.get("scores") or {},
        p_exchangeable=pair.get("p_exchangeable"),
        p_margin=pair.get("p_margin"),
        verdicts={kind: verdict for kind, verdict in verdicts.items() if verdict},
        power=pair.get("power") or {},
    )
