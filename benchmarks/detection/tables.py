"""The tables of docs/detection.md, each a function from findings to Markdown.

    TABLES["modifications"](Findings(load(RESULTS)))

A table shows what the results hold; what it means is written by hand around it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from benchmarks.detection.calibrate import OUT, margins_table
from benchmarks.detection.findings import MISSED_BELOW, Findings, ratio_range
from benchmarks.detection.metrics import clustered_counts, upper_bound
from benchmarks.detection.pvalues import LEVELS, Uniformity, held_out_undercuts, uniformity
from benchmarks.detection.results import (
    GROUPS,
    ITSELF,
    OURS,
    VERDICTS,
    Evaluation,
    Pair,
    evaluate,
    probe_score,
)
from benchmarks.markdown import cell, decimal, listing, percent, table

__all__ = ["PAIR_KINDS", "TABLES", "calibrations", "method_name"]

QUERIES = 24
"""Methods are compared at this number of queries; the others are in a table of their own."""

_CLOSEST = 10

PAIR_KINDS: tuple[tuple[str, Callable[[Pair], bool]], ...] = (
    ("same architecture, as trained", lambda pair: pair.same_architecture and pair.unchanged),
    ("same architecture, a copy", lambda pair: pair.same_architecture and not pair.unchanged),
    ("other architecture, as trained", lambda pair: not pair.same_architecture and pair.unchanged),
    ("other architecture, a copy", lambda pair: not pair.same_architecture and not pair.unchanged),
)
"""Kinds of independent pair: the suspect is a base network, or a modified copy of another one."""


def method_name(method: str) -> str:
    """Returns the name a method has in tables and plots."""
    return "harm ratio (ours)" if method == OURS else method


def counts(findings: Findings) -> str:
    """Shows every count that the sentences of the page and of docs/measured.md quote."""
    results, judged = findings.results, findings.judged
    rows = [
        (f"*{group}*, found at 1 %", _of(found.tpr1.hits, found.tpr1.total))
        for group, found in findings.by_group.items()
    ]
    for queries in (QUERIES, max(results.budgets, default=QUERIES)):
        for group in results.groups:
            if (rival := findings.best_rival(group, queries)) is not None:
                name, found = rival
                what = f"*{group}*, found at 1 % by the best rival, {name}, with {queries} queries"
                rows.append((what, _of(found.tpr1.hits, found.tpr1.total)))
    for kind in results.kinds:
        for group in ("shares weights", "independent"):
            pairs = results.related(group) if group != "independent" else results.independent()
            said = [pair.accused(kind) for pair in pairs if pair.verdict(kind)]
            rows.append((f"*{group}*, *same* or *derived* from {kind}", _of(sum(said), len(said))))
    working = findings.working
    detected = evaluate(working, judged, probe_score).tpr1
    what = "*shares weights* and keeps half of the source's accuracy above chance"
    rows += [
        (f"{what}, found at 1 %", _of(detected.hits, detected.total)),
        (f"{what}, *same* or *derived*", _of(sum(p.accused() for p in working), len(working))),
    ]
    clusters = [pair.cluster for pair in judged]
    related = [pair for pair in results.related() if pair.verdict()]
    lost = sum(pair.verdict() == "independent" for pair in related)
    usable = [(ratio, pair) for pair in judged if (ratio := pair.ratio()) is not None]
    relative = [ratio / (pair.margin() or 1.0) for ratio, pair in usable]
    low = [ratio < 1 for ratio in relative]
    rows += [
        (
            "*independent*, *same* or *derived*, each two networks once",
            _of(*clustered_counts([pair.accused() for pair in judged], clusters)),
        ),
        ("related pairs of every kind, *independent*", _of(lost, len(related))),
        ("*independent*, ratio below the margin of the source", _of(sum(low), len(low))),
        (
            "the same, each two networks once",
            _of(*clustered_counts(low, [pair.cluster for _, pair in usable])),
        ),
        (
            "the same, below the lowest relative ratio of all other sources",
            _of(*held_out_undercuts(relative, [pair.source for _, pair in usable])),
        ),
        (
            f"modifications found in fewer than {percent(MISSED_BELOW)} of pairs",
            _of(len(findings.missed), len(findings.by_row)),
        ),
    ]
    return table(("pairs", "so many"), rows)


def _of(hits: int, total: int) -> str:
    return f"{hits} of {total}"


def modifications(findings: Findings) -> str:
    """Shows verdicts and detection rates of each modification, and of all in a group."""
    rows: list[tuple[object, ...]] = []
    itself = [p for p in findings.results.pairs if p.modification == ITSELF and p.verdict()]
    if itself:
        rows.append((ITSELF, *_counted(itself), "-", "-"))
    for modification, group, pairs in findings.rows:
        found = findings.by_row[modification, group]
        rows.append((modification, *_counted(pairs), cell(found.tpr1), cell(found.tpr5)))
    for group, found in findings.by_group.items():
        pairs = findings.related(group)
        rows.append((f"*all: {group}*", *_counted(pairs), cell(found.tpr1), cell(found.tpr5)))
    if findings.judged:
        rows.append(("*all: independent*", *_counted(findings.judged), "-", "-"))
    head = ("suspect", "pairs", *VERDICTS, "harm ratio", "found at 1 %", "found at 5 %")
    return table(head, rows)


def _counted(pairs: Sequence[Pair]) -> tuple[object, ...]:
    return len(pairs), *_verdicts(pairs), ratio_range(pairs)


def _verdicts(pairs: Iterable[Pair], kind: str = "logits") -> list[int]:
    counts = Counter(pair.verdict(kind) for pair in pairs)
    return [counts[verdict] for verdict in VERDICTS]


def by_source(findings: Findings) -> str:
    """Shows harm ratio and verdict of each main source by itself."""
    sources = findings.results.main_sources
    groups = [(name, pairs) for name, _, pairs in findings.rows]
    rows = [
        (name, *(_said([pair for pair in pairs if pair.source == source]) for source in sources))
        for name, pairs in (*groups, ("independent suspects", findings.judged))
    ]
    return table(("suspect", *sources), rows)


def _said(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    told = [
        f"{verdict} {count}" if len(pairs) > 1 else verdict
        for verdict, count in zip(VERDICTS, _verdicts(pairs), strict=True)
        if count
    ]
    return f"{ratio_range(pairs)} {', '.join(told)}"


def comparison(findings: Findings, group: str) -> str:
    """Compares the methods on one group of suspects under the same number of queries."""
    budgets = findings.results.budgets
    queries = QUERIES if QUERIES in budgets else max(budgets, default=0)
    rows = []
    for method in findings.results.methods:
        white = findings.results.white_box(method)
        found = findings.compared.get((group, method, 0 if white else queries))
        if found is not None:
            rows.append(
                (
                    method_name(method) + (" (reads weights)" if white else ""),
                    cell(found.auc),
                    cell(found.tpr1),
                    cell(found.tpr5),
                    f"{found.tpr1.total} / {found.independents}",
                    f"{found.unanswered} / {found.excluded}",
                )
            )
    head = (
        f"{queries} queries: {group}",
        "AUC",
        "found at 1 %",
        "found at 5 %",
        "pairs, related / independent",
        "of these no answer / left out",
    )
    return table(head, rows)


def every_budget(findings: Findings, group: str) -> str:
    """Compares the methods at every number of queries."""
    budgets = findings.results.budgets
    rows = []
    for method in findings.results.methods:
        columns = [0] * len(budgets) if findings.results.white_box(method) else budgets
        cells = [_three(findings.compared.get((group, method, asked))) for asked in columns]
        rows.append((method_name(method), *cells))
    return table((group, *(f"{asked} queries" for asked in budgets)), rows)


def _three(found: Evaluation | None) -> str:
    if found is None:
        return "-"
    return " / ".join(decimal(rate.value) for rate in (found.auc, found.tpr1, found.tpr5))


def every_modification(findings: Findings) -> str:
    """Shows ours, modification by modification, at every number of queries."""
    budgets = findings.results.budgets
    rows = [
        (
            modification,
            *(
                " / ".join(map(decimal, findings.queries_by_row[modification, group, asked]))
                for asked in budgets
            ),
        )
        for modification, group, _ in findings.rows
    ]
    return table(("suspect", *(f"{asked} queries" for asked in budgets)), rows)


def answer_kinds(findings: Findings) -> str:
    """Shows how verdicts fare when the suspect tells less."""
    results = findings.results
    rows = []
    for kind in results.kinds:
        for group in (*results.groups, "independent"):
            pairs = results.independent() if group == "independent" else results.related(group)
            asked = [pair for pair in pairs if pair.verdict(kind)]
            if asked:
                rows.append((kind, group, len(asked), *_verdicts(asked, kind)))
    return table(("answers", "suspects", "pairs", *VERDICTS), rows)


def independents(findings: Findings) -> str:
    """Shows false positives by kind of independent pair, with upper bounds of their rate."""
    rows = []
    for name, belongs in (*PAIR_KINDS, ("*all*", lambda _: True)):
        chosen = [pair for pair in findings.judged if belongs(pair)]
        if not chosen:
            continue
        wrong = [pair.accused() for pair in chosen]
        bad, clusters = clustered_counts(wrong, [pair.cluster for pair in chosen])
        rows.append(
            (
                name,
                len(chosen),
                clusters,
                sum(wrong),
                percent(upper_bound(sum(wrong), len(chosen))),
                percent(upper_bound(bad, clusters)),
                ratio_range(chosen),
            )
        )
    head = (
        "independent suspect",
        "pairs",
        "two networks",
        "false positives",
        "at most, by pairs",
        "at most, by networks",
        "harm ratio",
    )
    return table(head, rows)


def closest(findings: Findings) -> str:
    """Shows the independent pairs of lowest harm ratio."""
    usable = [(ratio, pair) for pair in findings.judged if (ratio := pair.ratio()) is not None]
    usable.sort(key=lambda entry: (entry[0], entry[1].source, entry[1].suspect))
    return table(
        ("source", "suspect", "architecture", "harm ratio", "95 % interval", "p", "verdict"),
        [
            (
                pair.source,
                pair.suspect,
                "same" if pair.same_architecture else "other",
                decimal(ratio),
                f"{decimal(pair.verdicts['logits'].get('low'))} to "
                f"{decimal(pair.verdicts['logits'].get('high'))}",
                decimal(pair.verdicts["logits"].get("p"), 3),
                pair.verdict(),
            )
            for ratio, pair in usable[:_CLOSEST]
        ],
    )


def calibrations(findings: Findings) -> Mapping[str, Uniformity]:
    """Compares both p-values of independent pairs with uniform, by what margin they have."""
    pairs = findings.results.independent()
    return {
        "without a margin": uniformity([pair.p_exchangeable for pair in pairs]),
        "with the margin in use": uniformity([pair.p_margin for pair in pairs]),
    }


def p_values(findings: Findings) -> str:
    """Shows how many p-values of independent pairs are small."""
    rows = [
        (
            name,
            f"{level:g}",
            f"{hits} of {len(test.p_values)}",
            percent(share),
            percent(upper),
            decimal(tail),
        )
        for name, test in calibrations(findings).items()
        if len(test.p_values)
        for level, hits, share, upper, tail in zip(
            test.levels, test.counts, test.shares, test.upper, test.tails, strict=True
        )
    ]
    head = ("p-values", "t", "at or below t", "share", "at most (95 %)", "chance if uniform")
    return table(head, rows)


def p_values_by_test(findings: Findings) -> str:
    """Shows how many p-values of independent pairs are small, test by test and depth by depth."""
    rows = []
    for (test, kind), p_values in findings.p_values_by_test.items():
        found = uniformity(p_values)
        if len(found.p_values):
            rows.append((test, kind, len(found.p_values), *found.counts, f"{min(p_values):.2g}"))
    for kind in findings.results.kinds:
        equal = [
            pair.verdicts.get(kind, {}).get("equal") for pair in findings.results.independent()
        ]
        answered = [one for one in equal if one is not None]
        if answered:
            rows.append(("equality", kind, len(answered), *["-"] * 4, f"{sum(answered)} equal"))
    levels = (f"p ≤ {level:g}" for level in LEVELS)
    return table(("test", "answers", "pairs", *levels, "smallest"), rows)


def margins(_: Findings) -> str:
    """Shows the margins that the other half chose, and what they rest on."""
    return margins_table(json.loads(OUT.read_text(encoding="utf-8"))["margins"])


def missed(findings: Findings) -> str:
    """Shows the modifications that are found too rarely, and how well the suspects still work."""
    known = {member["name"]: member.get("accuracy") for member in findings.results.members}
    rows = []
    for name, group, pairs in findings.rows:
        if (name, group) not in findings.missed:
            continue
        values = [value for pair in pairs if (value := known.get(pair.suspect)) is not None]
        accuracies = ", ".join(map(decimal, sorted(values))) or "-"
        found = cell(findings.by_row[name, group].tpr1)
        rows.append((name, group, found, ratio_range(pairs), accuracies))
    head = ("suspect", "group", "found at 1 %", "harm ratio", "accuracy of the suspects")
    return table(head, rows)


def made(findings: Findings) -> str:
    """Shows how the results came about."""
    return table(("what", "value"), findings.results.made.items())


def registrations(findings: Findings) -> str:
    """Shows what registering each source cost."""
    head = (
        "source",
        "architecture",
        "depths",
        "probes",
        "passes a probe",
        "s",
        "own ratio",
    )
    rows = [
        (
            source["name"],
            source["architecture"],
            listing(f"{name} ({group})" for name, group, _ in source["depths"]),
            source["probes"],
            decimal(source.get("passes_per_probe"), 0),
            decimal(source.get("seconds"), 0),
            decimal(source.get("own_ratio_median")),
        )
        for source in findings.results.sources
    ]
    return table(head, rows)


def networks(findings: Findings) -> str:
    """Shows every network of the zoo with its accuracy."""
    rows = [
        (
            member["name"],
            listing(member["kin"]),
            member["architecture"],
            member["modification"],
            decimal(member.get("accuracy"), 3),
        )
        for member in findings.results.members
    ]
    return table(("network", "base", "architecture", "modification", "accuracy"), rows)


def untried(findings: Findings) -> str:
    """Shows which modification was not tried on which main source."""
    sources = findings.results.main_sources
    rows = []
    for name, _, pairs in findings.rows:
        lacking = [source for source in sources if source not in {pair.source for pair in pairs}]
        if lacking:
            rows.append((name, listing(lacking)))
    return table(("modification", "not tried on"), rows)


TABLES: Mapping[str, Callable[[Findings], str]] = {
    "counts": counts,
    "modifications": modifications,
    "by source": by_source,
    "untried": untried,
    **{f"methods: {group}": partial(comparison, group=group) for group in GROUPS},
    **{f"budgets: {group}": partial(every_budget, group=group) for group in GROUPS},
    "budgets: every modification": every_modification,
    "answers": answer_kinds,
    "independent": independents,
    "closest": closest,
    "margins": margins,
    "p-values": p_values,
    "p-values by test": p_values_by_test,
    "missed": missed,
    "made": made,
    "registrations": registrations,
    "networks": networks,
}
"""Each table of the page by the name its place there has."""
