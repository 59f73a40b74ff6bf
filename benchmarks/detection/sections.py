"""What the page says about detection: each section a function from results to Markdown.

No sentence holds a number that was typed in, and one whose truth depends on the numbers is
chosen by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from textwrap import wrap

from benchmarks.detection.findings import Findings, ratio_range, ratios
from benchmarks.detection.metrics import resolved, upper_bound
from benchmarks.detection.results import ITSELF, OURS, VERDICTS, Evaluation, Pair
from benchmarks.detection.wording import cell, counted, decimal, emphasised, percent, plural, table

__all__ = [
    "answer",
    "by_answer_kind",
    "by_modification",
    "by_queries",
    "group_title",
    "method_name",
    "readme_paragraph",
]

_GROUP_TITLES = {
    "shares weights": "share weights with the source",
    "student": "students, trained on the source's answers",
    "adversarial training": "trained adversarially from the source",
}


def group_title(group: str) -> str:
    """Says in words what the pairs of a group have in common."""
    return _GROUP_TITLES.get(group, group)


def method_name(method: str) -> str:
    """Returns the name a method has in tables and plots."""
    return "harm ratio (ours)" if method == OURS else method


def answer(findings: Findings) -> str:
    """Writes the answer in three numbers."""
    lines = [_found_line(findings), _wrong_line(findings), _beyond_line(findings)]
    text = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))
    return (
        f"## 1. The answer in three numbers\n\n{text}\n\n{_resolution(findings)} Settings that "
        "were chosen with a look at these pairs are named in section 9: this is no held-out rate."
    )


def _found_line(findings: Findings) -> str:
    found = findings.by_group.get("shares weights")
    if found is None or found.tpr1.value is None:
        return "**Found:** not measured."
    pairs = [pair for pair in findings.results.related("shares weights") if pair.verdict()]
    named = sum(pair.accused() for pair in pairs)
    return (
        f"**Found:** {counted(found.tpr1)} of the suspects that share weights with the source, "
        f"with {findings.probes} probes and a threshold that {_passing(findings)}. "
        f"The tool's own verdict, which rests on a margin and a p-value instead, was *same* or "
        f"*derived* for {named} of {len(pairs)}."
    )


def _wrong_line(findings: Findings) -> str:
    total, wrong = len(findings.judged), len(findings.accused)
    if not total:
        return "**Wrong:** not measured."
    bad, clusters = findings.wrong_clusters
    return (
        f"**Wrong:** {wrong} of {plural(total, 'independent pair')} called *same* or *derived*: "
        f"{percent(wrong / total)}, and at most {percent(upper_bound(wrong, total))} (exact, 95 %) "
        f"if pairs were independent of each other. Counting each two networks once, however many "
        f"copies were tried: {bad} of {clusters}, at most {percent(upper_bound(bad, clusters))}."
    )


def _beyond_line(findings: Findings) -> str:
    most = max(findings.results.budgets, default=0)
    parts = []
    for group in ("student", "adversarial training"):
        found = findings.by_group.get(group)
        if found is None or found.tpr1.value is None:
            continue
        rival = findings.best_baseline(group, most)
        other = (
            f"; the best baseline, {rival[0]} with {most} queries, {counted(rival[1].tpr1)}"
            if rival
            else ""
        )
        parts.append(f"{group_title(group)}: {counted(found.tpr1)}{other}")
    if not parts:
        return "**Beyond shared weights:** not measured."
    return f"**Beyond shared weights**, found at the same 1 %: {'. '.join(parts)}."


def _passing(findings: Findings) -> str:
    if resolved(len(ratios(findings.judged)), 0.01):
        return "1 % of independent pairs pass"
    return "no independent pair passes"


def _resolution(findings: Findings) -> str:
    count = len(ratios(findings.judged))
    if resolved(count, 0.01):
        return f"Thresholds come from {count} independent pairs, one threshold for all sources."
    return (
        f"**Too few pairs:** {plural(count, 'independent pair')} cannot show a false-positive "
        "rate of 1 %, which takes 100. Where this page says 1 %, the threshold is the closest "
        "independent pair of all."
    )


def by_modification(findings: Findings) -> str:
    """Writes what the tool can tell apart, modification by modification and source by source."""
    body = [
        "## 2. What it can tell apart",
        f"Our method with {findings.probes} probes, {findings.queries} queries, logits. *Found* "
        "is the share of pairs whose harm ratio, relative to the margin of its source (section "
        "6), is below the threshold that 1 % (5 %) of independent pairs pass, with a 95 % "
        "interval; a row of few pairs has a wide one.",
        table(
            ("suspect", "pairs", *VERDICTS, "harm ratio", "found at 1 %", "found at 5 %"),
            [*_itself_row(findings), *_modification_rows(findings), *_total_rows(findings)],
        ),
        _whether_all(findings),
        "![Harm ratio of every pair, by modification](detection/ratios.svg)",
        "Each main source by itself, harm ratio and verdict:",
        _by_source(findings),
    ]
    return "\n\n".join(part for part in body if part)


def _counts(pairs: Iterable[Pair], kind: str = "logits") -> list[int]:
    counts = Counter(pair.verdict(kind) for pair in pairs)
    return [counts[verdict] for verdict in VERDICTS]


def _itself_row(findings: Findings) -> list[tuple[object, ...]]:
    every = findings.results.pairs
    pairs = [pair for pair in every if pair.modification == ITSELF and pair.verdict()]
    return [(ITSELF, len(pairs), *_counts(pairs), ratio_range(pairs), "-", "-")] if pairs else []


def _modification_rows(findings: Findings) -> Iterable[tuple[object, ...]]:
    for modification, group, pairs in findings.rows:
        found = findings.by_row[modification, group]
        yield (
            modification,
            len(pairs),
            *_counts(pairs),
            ratio_range(pairs),
            cell(found.tpr1),
            cell(found.tpr5),
        )


def _total_rows(findings: Findings) -> Iterable[tuple[object, ...]]:
    for group, found in findings.by_group.items():
        pairs = [pair for pair in findings.results.related(group) if pair.verdict()]
        rates = cell(found.tpr1), cell(found.tpr5)
        yield f"*all: {group}*", len(pairs), *_counts(pairs), ratio_range(pairs), *rates
    others = findings.judged
    if others:
        yield "*all: independent*", len(others), *_counts(others), ratio_range(others), "-", "-"


def _whether_all(findings: Findings) -> str:
    found = findings.by_group.get("shares weights")
    if found is None or found.tpr1.value is None:
        return ""
    if found.tpr1.hits == found.tpr1.total:
        return (
            f"Every one of the {plural(found.tpr1.total, 'suspect')} that share weights with their "
            "source is found at 1 % false positives."
        )
    short = [
        modification
        for (modification, group), row in findings.by_row.items()
        if group == "shares weights" and row.tpr1.hits < row.tpr1.total
    ]
    return (
        f"Not all that share weights are found at 1 % false positives: "
        f"{found.tpr1.total - found.tpr1.hits} of {found.tpr1.total} are missed, under "
        f"{emphasised(short)}."
    )


def _by_source(findings: Findings) -> str:
    sources = findings.results.main_sources

    def said(pairs: Sequence[Pair]) -> str:
        if not pairs:
            return ""
        counts = Counter(pair.verdict() for pair in pairs)
        told = [
            f"{verdict} {counts[verdict]}" if len(pairs) > 1 else verdict
            for verdict in VERDICTS
            if counts[verdict]
        ]
        return f"{ratio_range(pairs)} {', '.join(told)}"

    rows = [
        (name, *(said([pair for pair in pairs if pair.source == source]) for source in sources))
        for name, _, pairs in findings.rows
    ]
    own = [
        (
            "independent suspects",
            *(said([pair for pair in findings.judged if pair.source == name]) for name in sources),
        )
    ]
    return table(("suspect", *sources), [*rows, *own])


def by_queries(findings: Findings, queries: int = 24) -> str:
    """Writes how methods compare under the same number of queries."""
    results = findings.results
    budgets = results.budgets
    queries = queries if queries in budgets else max(budgets, default=0)
    body = [
        "## 3. With how many queries, and against other methods",
        "Every method may ask a suspect the same number of queries, colours and turned probes "
        "of ours included; one that reads weights asks none. A related pair a method cannot "
        "answer, such as one with other classes, counts as not found.",
        "![Found at 1 % false positives, by number of queries](detection/queries.svg)",
        *(_comparison(findings, group, queries) for group in results.groups),
        "<details><summary>Every number of queries: AUC / found at 1 % / found at 5 %</summary>",
        *(_every_budget(findings, group) for group in results.groups),
        "</details>",
        "<details><summary>Ours, every modification and number of queries: AUC / found at 1 % / "
        "found at 5 %</summary>",
        _every_modification(findings),
        "</details>",
    ]
    return "\n\n".join(body)


def _comparison(findings: Findings, group: str, queries: int) -> str:
    rows = []
    for method in findings.results.methods:
        key = (group, method, 0 if findings.results.white_box(method) else queries)
        found = findings.compared.get(key)
        if found is not None:
            rows.append(
                (
                    method_name(method) + (" (reads weights)" if key[2] == 0 else ""),
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
    return f"{table(head, rows)}\n\n{_who_wins(findings, group, queries)}"


def _who_wins(findings: Findings, group: str, queries: int) -> str:
    ours = findings.compared.get((group, OURS, queries))
    rival = findings.best_baseline(group, queries)
    if ours is None or rival is None or None in (ours.tpr1.value, rival[1].tpr1.value):
        return f"No comparison is possible for suspects in the group *{group}*."
    mine, other = ours.tpr1, rival[1].tpr1
    first = f"With {queries} queries ours finds {mine.hits} of {mine.total} at 1 % false positives"
    second = f"the best baseline, {rival[0]}, {other.hits} of {other.total}"
    # As fractions, since rates of other numbers of pairs may differ in the last bit.
    lead = mine.hits * other.total - other.hits * mine.total
    if lead == 0:
        return f"{first}, as does {second}: no difference."
    overlap = mine.low <= other.high and other.low <= mine.high
    sure = "; the intervals overlap" if overlap else ""
    return (
        f"{first}, {second}: {'ours finds more' if lead > 0 else 'the baseline finds more'}{sure}."
    )


def _every_budget(findings: Findings, group: str) -> str:
    budgets = findings.results.budgets

    def three(found: Evaluation | None) -> str:
        if found is None:
            return "-"
        return " / ".join(decimal(rate.value) for rate in (found.auc, found.tpr1, found.tpr5))

    rows = []
    for method in findings.results.methods:
        columns = [0] * len(budgets) if findings.results.white_box(method) else budgets
        cells = [three(findings.compared.get((group, method, asked))) for asked in columns]
        rows.append((method_name(method), *cells))
    return table((group, *(f"{asked} queries" for asked in budgets)), rows)


def _every_modification(findings: Findings) -> str:
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


def by_answer_kind(findings: Findings) -> str:
    """Writes how verdicts fare when the suspect tells less."""
    results = findings.results
    rows = []
    for kind in results.kinds:
        for group in (*results.groups, "independent"):
            pairs = results.independent() if group == "independent" else results.related(group)
            asked = [pair for pair in pairs if pair.verdict(kind)]
            if asked:
                rows.append((kind, group, len(asked), *_counts(asked, kind)))
    body = [
        "## 4. With which kind of answer",
        f"The same {findings.probes} probes, when the suspect gives logits, probabilities, its "
        "five best classes with their probabilities, or only the name of the best class.",
        table(("answers", "suspects", "pairs", *VERDICTS), rows),
        "![Verdicts by kind of answer](detection/answers.svg)",
        *(_kind_line(findings, kind) for kind in results.kinds),
    ]
    return "\n\n".join(part for part in body if part)


def _kind_line(findings: Findings, kind: str) -> str:
    related = [pair for pair in findings.results.related("shares weights") if pair.verdict(kind)]
    others = [pair for pair in findings.results.independent() if pair.verdict(kind)]
    if not related or not others:
        return ""
    hits, wrong = (sum(pair.accused(kind) for pair in pairs) for pairs in (related, others))
    unsure = sum(pair.verdict(kind) == "inconclusive" for pair in related)
    return (
        f"*{kind}*: {hits} of {len(related)} that share weights are called *same* or *derived*, "
        f"{unsure} *inconclusive*; {wrong} of {len(others)} independent ones are called *same* or "
        "*derived*."
    )


def readme_paragraph(findings: Findings, link: str = "docs/detection.md") -> str:
    """Writes the paragraph the README quotes: three numbers and where they come from.

    Returns:
        Lines of at most 100 characters, as the README's are.
    """
    lines = wrap(
        _three_numbers(findings, link), 100, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def _three_numbers(findings: Findings, link: str) -> str:
    found = findings.by_group.get("shares weights")
    total, wrong = len(findings.judged), len(findings.accused)
    if found is None or found.tpr1.value is None or not total:
        return f"Not measured yet; see [{link}]({link})."
    networks = plural(len(findings.results.main_sources), "source network")
    student = findings.by_group.get("student")
    distilled = (
        f" Of students trained on a source's answers, which share no weights with it, "
        f"{student.tpr1.hits} of {student.tpr1.total} are found."
        if student is not None and student.tpr1.value is not None
        else ""
    )
    return (
        f"On {networks} and their copies ({findings.results.made.get('data', 'unnamed data')}), "
        f"{findings.probes} probes find {found.tpr1.hits} of {found.tpr1.total} suspects that "
        f"share weights with a source, at a threshold that {_passing(findings)}. "
        f"{wrong} of {total} independent pairs are called *same* or *derived* "
        f"(at most {percent(upper_bound(wrong, total))}, exact 95 % bound).{distilled} "
        f"What was measured, and what the tool cannot see: [{link}]({link})."
    )
