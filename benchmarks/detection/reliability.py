"""How far the page can be trusted: false positives, calibration, limits, and how it was measured.

Sections 5 to 9 of the page, each a function from findings to Markdown, under the same rule as the
others: no number is typed in, and no sentence is written that the numbers do not bear out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.detection.findings import MISSED_BELOW, Findings, ratio_range, ratios
from benchmarks.detection.metrics import clopper_pearson, clustered_counts, upper_bound
from benchmarks.detection.pvalues import Uniformity, held_out_undercuts, uniformity
from benchmarks.detection.results import Pair
from benchmarks.detection.wording import cell, decimal, emphasised, listing, percent, plural, table

__all__ = ["calibration", "calibrations", "designs", "how_measured", "how_often_wrong", "limits"]

_CLOSEST = 10

PAIR_KINDS: tuple[tuple[str, Callable[[Pair], bool]], ...] = (
    ("same architecture, as trained", lambda pair: pair.same_architecture and pair.unchanged),
    ("same architecture, a copy", lambda pair: pair.same_architecture and not pair.unchanged),
    ("other architecture, as trained", lambda pair: not pair.same_architecture and pair.unchanged),
    ("other architecture, a copy", lambda pair: not pair.same_architecture and not pair.unchanged),
)
"""Kinds of independent pair: the suspect is a base network, or a modified copy of another one."""


def how_often_wrong(findings: Findings) -> str:
    """Writes how often an independent pair is called related, and which come closest."""
    pairs = findings.judged
    if not pairs:
        return "## 5. How often it is wrong\n\nNo independent pair was measured."
    wrong, (bad, clusters) = len(findings.accused), findings.wrong_clusters
    unsure = sum(pair.verdict() == "inconclusive" for pair in pairs)
    body = [
        "## 5. How often it is wrong",
        f"Of {plural(len(pairs), 'independent pair')}, {wrong} got *same* or *derived* and "
        f"{unsure} *inconclusive*. The true rate of false positives is at most "
        f"**{percent(upper_bound(wrong, len(pairs)))}** (exact Clopper-Pearson, one-sided 95 %), "
        "if pairs were draws independent of each other. They are not: copies of one network stand "
        f"or fall together. Counted once for each two networks, {bad} of {clusters} are wrong, at "
        f"most **{percent(upper_bound(bad, clusters))}**, the more careful bound, though even "
        "these share sources. Below, *as trained* is a base network, and *a copy* a modified one.",
        table(
            (
                "independent suspect",
                "pairs",
                "two networks",
                "false positives",
                "at most, by pairs",
                "at most, by networks",
                "harm ratio",
            ),
            _kinds_of_pair(pairs),
        ),
        _accused_line(findings),
        f"The {min(_CLOSEST, len(ratios(pairs)))} closest independent pairs:",
        _closest(pairs),
        _other_way(findings),
    ]
    return "\n\n".join(part for part in body if part)


def _kinds_of_pair(pairs: Sequence[Pair]) -> Iterable[tuple[object, ...]]:
    for name, belongs in (*PAIR_KINDS, ("*all*", lambda _: True)):
        chosen = [pair for pair in pairs if belongs(pair)]
        if not chosen:
            continue
        wrong = [pair.accused() for pair in chosen]
        bad, clusters = clustered_counts(wrong, [pair.cluster for pair in chosen])
        yield (
            name,
            len(chosen),
            clusters,
            sum(wrong),
            percent(upper_bound(sum(wrong), len(chosen))),
            percent(upper_bound(bad, clusters)),
            ratio_range(chosen),
        )


def _accused_line(findings: Findings) -> str:
    if not findings.accused:
        return "No independent pair was called *same* or *derived*."
    named = emphasised(f"{pair.suspect} as {pair.source}" for pair in findings.accused[:_CLOSEST])
    more = len(findings.accused) - _CLOSEST
    return f"Wrongly accused: {named}{f', and {more} more' if more > 0 else ''}."


def _closest(pairs: Sequence[Pair]) -> str:
    usable = [(ratio, pair) for pair in pairs if (ratio := pair.ratio()) is not None]
    usable.sort(key=lambda entry: (entry[0], entry[1].source, entry[1].suspect))
    return table(
        ("source", "suspect", "architecture", "harm ratio", "95 % interval", "p", "verdict"),
        [
            (
                pair.source,
                pair.suspect,
                "same" if pair.same_architecture else "other",
                decimal(ratio),
                _interval(pair),
                decimal(pair.verdicts["logits"].get("p"), 3),
                pair.verdict(),
            )
            for ratio, pair in usable[:_CLOSEST]
        ],
    )


def _interval(pair: Pair) -> str:
    said = pair.verdicts["logits"]
    return f"{decimal(said.get('low'))} to {decimal(said.get('high'))}"


def _other_way(findings: Findings) -> str:
    pairs = [pair for pair in findings.results.related() if pair.verdict()]
    lost = [pair for pair in pairs if pair.verdict() == "independent"]
    if not pairs:
        return ""
    low, high = clopper_pearson(len(lost), len(pairs))
    named = sorted({pair.modification for pair in lost})
    return (
        f"The other way round, {len(lost)} of {len(pairs)} related pairs of every kind were called "
        f"*independent* (95 % interval {percent(low)} to {percent(high)})"
        + (f": {emphasised(named)}." if named else ".")
    )


def calibrations(findings: Findings) -> Mapping[str, Uniformity]:
    """Compares both p-values of independent pairs with uniform, by what margin they have."""
    pairs = findings.results.independent()
    return {
        "without a margin": uniformity([pair.p_exchangeable for pair in pairs]),
        "with the margin in use": uniformity([pair.p_margin for pair in pairs]),
    }


def calibration(findings: Findings) -> str:
    """Writes whether p-values keep their promise, and what margins rest on."""
    tests = calibrations(findings)
    body = [
        "## 6. Are the p-values honest?",
        "A p-value is honest if, among independent pairs, at most a share t falls at or below t, "
        "for every t. Without a margin the test asks whether probes and the same turned "
        "move the suspect's answers alike; with the margin in use it asks for more, and that p "
        "decides verdicts.",
        "![p-values of independent pairs against uniform](detection/calibration.svg)",
        *(_honest(name, test) for name, test in tests.items()),
        table(
            ("p-values", "t", "at or below t", "share", "at most (95 %)", "chance if uniform"),
            [row for name, test in tests.items() for row in _levels(name, test)],
        ),
        "*At most* is the exact bound, and *chance if uniform* the exact binomial chance of as "
        "many, both for pairs taken as independent of each other.",
        "### Where margins come from",
        _margins(findings),
    ]
    return "\n\n".join(part for part in body if part)


def _honest(name: str, test: Uniformity) -> str:
    count = len(test.p_values)
    if not count:
        return f"**p {name}:** no p-value was measured."
    left = f" ({plural(test.excluded, 'pair')} without evidence left out)" if test.excluded else ""
    band = f"the simultaneous 95 % band (DKW, ±{test.band:.3f}, {plural(count, 'pair')}{left})"
    if not test.conservative:
        return (
            f"**p {name}: too small.** The distribution rises {test.excess:.3f} above the "
            f"diagonal, out of {band}."
        )
    sharp = [
        f"{level:g}" for level, tail in zip(test.levels, test.tails, strict=True) if tail < 0.01
    ]
    if sharp:
        return (
            f"**p {name}: not shown honest.** The distribution stays inside {band}, but at t = "
            f"{listing(sharp)} there are more than uniform p-values would give (exact binomial "
            "test, chance below 0.01)."
        )
    return (
        f"**p {name}: uniform or larger,** as far as these pairs can show: the distribution rises "
        f"at most {test.excess:.3f} above the diagonal, inside {band}."
    )


def _levels(name: str, test: Uniformity) -> Iterable[tuple[object, ...]]:
    if not len(test.p_values):
        return
    for level, hits, share, upper, tail in zip(
        test.levels, test.counts, test.shares, test.upper, test.tails, strict=True
    ):
        total = len(test.p_values)
        yield (
            name,
            f"{level:g}",
            f"{hits} of {total}",
            percent(share),
            percent(upper),
            decimal(tail),
        )


def _margins(findings: Findings) -> str:
    margin = findings.results.margin
    known = [source for source in findings.results.sources if source.get("decoys")]
    text = (
        f"The margin of a source is the smallest of the default, {margin:.2g}, of the harm ratios "
        "of its probes on registered models that are independent of it, and of those on its "
        "decoys: networks of its architecture that learned at registration, from noise alone, to "
        "answer as it does. No registered models took part here, so that every pair is judged by "
        "what one registration knows."
    )
    if known:
        text += "\n\n" + _decoys(findings, known)
    usable = [(ratio, pair) for pair in findings.judged if (ratio := pair.ratio()) is not None]
    if not usable:
        return f"{text}\n\nNo independent pair was measured against these margins."
    below = [ratio < (pair.margin() or margin) for ratio, pair in usable]
    clusters = [pair.cluster for _, pair in usable]
    bad, networks = clustered_counts(below, clusters)
    lowest = min(ratio / (pair.margin() or margin) for ratio, pair in usable)
    count = len(usable)
    return (
        f"{text}\n\n{sum(below)} of {count} independent pairs have a harm ratio below the margin "
        f"of their source ({bad} of {networks} counting each two networks once); the lowest is "
        f"{decimal(lowest)} times the margin. A registry takes more from its own models: the "
        "smallest of n exchangeable ratios is undercut by a new one with probability 1/(n+1), and "
        f"no n models can promise less. With the {count} pairs of this page that floor is "
        f"1/{count + 1}, or 1/{networks + 1} counting each two networks once; a registry of ten "
        "models vouches for 1/10 by itself, and *fp verify* prints its own number. "
        + _held_out(findings, usable)
    )


def _decoys(findings: Findings, known: Sequence[Mapping[str, Any]]) -> str:
    """Writes what decoys predict of each source and what its independent pairs show."""
    rows = []
    for source in known:
        pairs = [pair for pair in findings.judged if pair.source == source["name"]]
        values = [ratio for pair in pairs if (ratio := pair.ratio()) is not None]
        margins = [margin for pair in pairs if (margin := pair.margin()) is not None]
        rows.append(
            (
                source["name"],
                listing(decimal(ratio) for ratio in source["decoys"]),
                decimal(margins[0] if margins else None),
                decimal(min(values, default=None)),
                sum(value < margins[0] for value in values) if margins else "-",
            )
        )
    head = ("source", "its decoys", "margin", "lowest independent ratio", "pairs below the margin")
    return table(head, rows)


def _held_out(findings: Findings, usable: Sequence[tuple[float, Pair]]) -> str:
    margin = findings.results.margin
    relative = [ratio / (pair.margin() or margin) for ratio, pair in usable]
    under, asked = held_out_undercuts(relative, [pair.source for _, pair in usable])
    if not asked:
        return ""
    return (
        "Tried on sources it had not seen (the smallest relative ratio among the pairs of all "
        f"other sources), such a bound is undercut by {under} of {asked} pairs "
        f"({percent(under / asked)})."
    )


def designs(findings: Findings) -> str:
    """Writes which designs were tried, which were kept and which dropped."""
    tried = findings.results.designs
    if not tried:
        return "## 7. Designs tried\n\nNone is in this results file."
    optional = (
        ("auc", "AUC"),
        ("tpr1", "found at 1 %"),
        ("lowest_independent", "lowest independent ratio"),
        ("mean_log_ratio_related", "mean log ratio, related"),
    )
    shown = [(key, title) for key, title in optional if any(key in design for design in tried)]
    rows = [
        (
            design["name"],
            design.get("what", ""),
            "**kept**" if design.get("kept") else "dropped",
            design.get("why", ""),
            *(decimal(design.get(key)) for key, _ in shown),
        )
        for design in sorted(tried, key=lambda design: not design.get("kept"))
    ]
    kept = sum(bool(design.get("kept")) for design in tried)
    return "\n\n".join(
        (
            "## 7. Designs tried",
            f"{len(tried)} designs of probe and test were measured; {kept} kept, "
            f"{len(tried) - kept} dropped.",
            table(("design", "what", "fate", "why", *(title for _, title in shown)), rows),
            "Ratios are relative to the margin of the source. With so few sources differences of a "
            "few thousandths are noise, and what is no better than noise is dropped. Decoys may "
            "change nothing for these sources; they are there for perceptrons "
            "(`python -m benchmarks.digits_limits`).",
        )
    )


def limits(findings: Findings) -> str:
    """Writes what the tool cannot see: what was missed here, then what no number shows."""
    missed = findings.missed
    if not findings.by_row:
        listed = "No related pair was measured."
    elif missed:
        listed = (
            f"Found in fewer than {percent(MISSED_BELOW)} of pairs at 1 % false positives, "
            f"{len(missed)} of {plural(len(findings.by_row), 'modification')}:\n\n"
        ) + table(
            ("suspect", "group", "found at 1 %", "harm ratio", "accuracy of the suspects"),
            [
                (
                    name,
                    group,
                    cell(findings.by_row[name, group].tpr1),
                    ratio_range(pairs),
                    _accuracies(findings, pairs),
                )
                for name, group, pairs in findings.rows
                if (name, group) in missed
            ],
        )
    else:
        listed = (
            f"Every modification was found in at least {percent(MISSED_BELOW)} of its pairs at "
            "1 % false positives."
        )
    return f"## 8. What it cannot see\n\n{listed}\n\n{_STATIC_LIMITS}"


def _accuracies(findings: Findings, pairs: Sequence[Pair]) -> str:
    """Shows which missed suspects hardly work any more."""
    known = {member["name"]: member.get("accuracy") for member in findings.results.members}
    values = sorted(value for pair in pairs if (value := known.get(pair.suspect)) is not None)
    return ", ".join(decimal(value) for value in values) or "-"


_STATIC_LIMITS = """\
Whatever the numbers above say:

- **Shallow networks on easy data.** Small perceptrons trained on the same easy data ignore much
  the same perturbations, independent or not. Decoys lower their margin, so that independents are
  *inconclusive* rather than *derived*; strong fine-tunes of theirs are then *inconclusive* too.
- **Large networks have no decoys.** Imitating a network of many outputs takes too long at
  registration, so that only the default and the registry bound its margin.
- **Labels only.** The name of the best class says little; see section 4 before relying on it.
- **Networks that ignore turning.** A probe's control is the probe itself, turned or mirrored. A
  network trained to answer every orientation of an image alike has nothing to be compared with.
- **Suspects that detect probes.** Probes do not look like photographs. A service that recognises
  them can answer them differently; weights cannot.
- **Modifications that were not tried**, and stronger ones of those that were. *Independent* means
  "no sign of descent", not "proven clean".
- It says who a model descends from, not who trained first, and not whether that was allowed."""


def how_measured(findings: Findings) -> str:
    """Writes what everything was measured on, what is missing, and how to do it again."""
    results = findings.results
    made = results.made
    networks = [member for member in results.members if member["name"] == member["base"]]
    body = [
        "## 9. How it was measured",
        table(("", ""), [(key, value) for key, value in made.items()]),
        f"{plural(len(results.members), 'network')}, of which {len(networks)} were trained apart "
        f"from each other and {len(results.main_sources)} are main sources; "
        f"{len(results.related())} related and "
        f"{plural(len(results.independent()), 'independent pair')}. "
        "A pair is independent when the suspect descends from another base network than the "
        "source; its copies count as its descendants.",
        "Sources:",
        _sources(results.sources),
        "<details><summary>Every network, with its accuracy on the test images of its own task"
        "</summary>",
        _members(results.members),
        "</details>",
        _lacking(findings),
        "Everything is image classification on the data named above. Other data, larger inputs "
        "and other kinds of network are not measured on this page.",
        _METHODS,
        _HISTORY,
        "To do it again: `make detection`. It rewrites the results file, and this page from it.",
    ]
    return "\n\n".join(part for part in body if part)


_METHODS = """\
Intervals are 95 %. A rate's is the hull of the exact one (Clopper-Pearson) and of a seeded
bootstrap that draws sources and suspects' base networks with replacement, since pairs that share
a network are not independent; an AUC's is the hull of Newcombe's and that bootstrap's. With few
sources both are still somewhat too narrow for sources of a new kind. Thresholds are the lowest
that at most 1 % (5 %) of the independent pairs exceed, one for all sources, chosen on the same
pairs that are reported."""


_HISTORY = """\
What was chosen on what: the features, the changed copies and the decoys were settled on networks
for digits and on the published CIFAR-10 networks, before the rest of this zoo was trained. **Not
held out** are two things set after a first measurement of this very zoo, in which 8 of 520
independent pairs had been called *derived*: controls turned seven ways instead of upside down, and
the default margin of 0.7 instead of 0.8. The false positives above are therefore those of a method
fitted to these pairs, and a new zoo may show more.
How far below its decoys a margin lies was set on perceptrons for digits. The settings of two
baselines, IPGuard's step and ModelDiff's radius, were chosen on the published networks in these
baselines' favour."""


def _sources(sources: Sequence[Mapping[str, Any]]) -> str:
    return table(
        (
            "source",
            "architecture",
            "start",
            "invariance of",
            "solver",
            "probes",
            "passes a probe",
            "s",
            "own ratio",
        ),
        [
            (
                source["name"],
                source.get("architecture", "-"),
                source.get("start", "-"),
                source.get("depth", "-"),
                source.get("method", "-"),
                source["probes"],
                decimal(source.get("passes_per_probe"), 0),
                decimal(source.get("seconds"), 0),
                decimal(source.get("own_ratio_median")),
            )
            for source in sources
        ],
    )


def _members(members: Sequence[Mapping[str, Any]]) -> str:
    return table(
        ("network", "base", "architecture", "modification", "accuracy"),
        [
            (
                member["name"],
                listing(member["kin"]),
                member["architecture"],
                member["modification"],
                decimal(member.get("accuracy"), 3),
            )
            for member in members
        ],
    )


def _lacking(findings: Findings) -> str:
    sources = findings.results.main_sources
    tried = {name: {pair.source for pair in pairs} for name, _, pairs in findings.rows}
    gaps = [
        (name, listing(source for source in sources if source not in having))
        for name, having in tried.items()
        if not set(sources) <= having
    ]
    if not gaps:
        return "Every modification was tried on every main source." if tried else ""
    return f"What the zoo lacks:\n\n{table(('modification', 'not tried on'), gaps)}"
