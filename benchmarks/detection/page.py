"""Writes the tables and plots of docs/detection.md and its neighbours from the results file.

    python -m benchmarks.detection.page [--results FILE] [--out docs/detection.md]

Pages are written by hand around their tables (see ``benchmarks.pages``); ``power.md``,
``detection_tables.md`` with what only some look up, and the folder ``detection`` with the plots lie
beside ``--out``. Equal results give equal bytes, so a diff of a page is a diff of the numbers. What
reports quote of them is written for ``registry.reports`` when the page is that of the repository.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import answer_kinds
from benchmarks.detection import power
from benchmarks.detection.decided import decided
from benchmarks.detection.findings import Findings
from benchmarks.detection.large.tables import large_tables
from benchmarks.detection.metrics import Estimate
from benchmarks.detection.pvalues import Uniformity, uniformity
from benchmarks.detection.results import OURS, VERDICTS, Pair, load
from benchmarks.detection.tables import PAIR_KINDS, TABLES, calibrations, method_name
from benchmarks.families.table import margins, siblings
from benchmarks.pages import write_filled
from fingerprint.errors import FingerprintError
from registry.reports.words import BENCHMARKS

if TYPE_CHECKING:
    from benchmarks.detection.plots import Strip

__all__ = ["PAGE", "QUOTED", "RESULTS", "main"]
__all__ += ["power_tables", "quoted", "tables", "write_page", "write_plots"]

PAGE = Path("docs/detection.md")
RESULTS = Path(__file__).with_name("results.json")
LARGE = Path(__file__).with_name("results224.json")
DIGITS = Path(__file__).with_name("results_digits.json")
FAMILIES = Path(__file__).with_name("families.json")
LARGE_FAMILIES = Path(__file__).with_name("families224.json")
QUOTED = Path("registry/reports") / BENCHMARKS
"""What reports say of the benchmark; it ships with the program."""
LOOKED_UP = "detection_tables.md"
_LOOKED_UP = (
    "counts",
    "224: counts",
    "digits: counts",
    "digits: modifications",
    "digits: closest",
    "by source",
    "224: by source",
    "224: missed",
    "untried",
    "margins by child",
    "methods: student",
    "methods: adversarial training",
    "budgets: shares weights",
    "budgets: student",
    "budgets: adversarial training",
    "budgets: every modification",
    "p-values by test",
    "made",
    "224: made",
    "digits: made",
    "registrations",
    "224: registrations",
    "networks",
    "224: networks",
)
"""Tables of the second page: the first one is read in ten minutes."""
_OF_DIGITS = ("counts", "modifications", "closest", "made")


Makers = Mapping[str, Callable[[], str]]
"""What makes each table of a page, by its name there."""


def tables(findings: Findings, folder: Path = RESULTS.parent) -> Makers:
    """Returns those of the page for an auditor.

    Args:
        findings: Of the zoo.
        folder: Where what was measured of families, of digits and at 224 pixels lies, if it was.
    """
    families: dict[str, Callable[[], str]] = {}
    for size, name in (("", FAMILIES.name), ("224: ", LARGE_FAMILIES.name)):
        if (kept := folder / name).exists():
            rows = json.loads(kept.read_text(encoding="utf-8"))["rows"]
            families[f"{size}siblings"] = partial(siblings, rows)
            families[f"{size}margins by child"] = partial(margins, rows)
    digits: dict[str, Callable[[], str]] = {}
    if (kept := folder / DIGITS.name).exists():
        of_digits = _from(Findings(load(kept)), TABLES)
        digits = {f"digits: {name}": of_digits[name] for name in _OF_DIGITS}
    large = large_tables(folder / LARGE.name)
    return {**_from(findings, TABLES), **families, **digits, **large}


def power_tables(findings: Findings, folder: Path = RESULTS.parent) -> Makers:
    """Returns those of the page for whoever plans a verification; see :func:`tables`."""
    makers: dict[str, Callable[[], str]] = {**_from(findings, power.TABLES)}
    makers["decided"] = partial(decided, findings)
    if (large := folder / LARGE.name).exists():
        makers["224: decided"] = partial(decided, Findings(load(large)))
    if (kept := folder.parent / answer_kinds.RESULTS.name).exists():
        results = json.loads(kept.read_text(encoding="utf-8"))
        makers["digits: decided"] = partial(answer_kinds.decided, results)
    return makers


def _from(findings: Findings, makers: Mapping[str, Callable[[Findings], str]]) -> Makers:
    return {name: partial(make, findings) for name, make in makers.items()}


def write_page(findings: Findings, out: Path, folder: Path = RESULTS.parent) -> list[str]:
    """Writes the pages' tables and the plots; returns the names of tables that changed."""
    every = tables(findings, folder)
    read, looked_up = (
        {name: make for name, make in every.items() if (name in _LOOKED_UP) == further}
        for further in (False, True)
    )
    changed = write_filled(out, read, title="What the tool can tell apart: tables")
    changed += write_filled(
        out.with_name(LOOKED_UP), looked_up, title="What the tool can tell apart: further tables"
    )
    changed += write_filled(
        out.with_name(power.PAGE_NAME),
        power_tables(findings, folder),
        title="How many queries a claim takes: tables",
    )
    write_plots(findings, out.parent / "detection")
    return changed


def quoted(folder: Path = RESULTS.parent) -> str:
    """Returns what reports quote: by size in pixels, the counts of each results file."""
    found = {}
    for size, name in (("32", RESULTS.name), ("224", LARGE.name)):
        results = load(folder / name)
        counts = {
            "claimed": results.independent(),
            "found": results.related("shares weights"),
        }
        found[size] = {
            "networks": len(results.sources),
            "architectures": len({source["architecture"] for source in results.sources}),
            **{what: _accused(pairs) for what, pairs in counts.items()},
        }
    return json.dumps(found, indent=1) + "\n"


def _accused(pairs: Sequence[Pair]) -> str:
    said = [pair.accused() for pair in pairs if pair.verdict()]
    return f"{sum(said)} of {len(said)}"


def write_plots(findings: Findings, folder: Path) -> None:
    """Draws the page's plots, one for each claim."""
    from benchmarks.detection import plots  # only who draws needs matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    results = findings.results
    plots.plot_ratios(_strips(findings), _plotted_sources(findings), folder / "ratios.svg")
    plots.plot_queries(
        _query_panels(findings), results.budgets, folder / "queries.svg", ours=method_name(OURS)
    )
    plots.plot_calibration(
        {**calibrations(findings), **_by_test(findings)}, folder / "calibration.svg"
    )
    plots.plot_answer_kinds(_answer_panels(findings), folder / "answers.svg")


def _by_test(findings: Findings) -> Mapping[str, Uniformity]:
    """Compares each test's p-values with uniform, from logits and with its own margin."""
    return {
        f"{test} alone": uniformity(values)
        for (test, kind), values in findings.p_values_by_test.items()
        if kind == "logits"
    }


def _plotted_sources(findings: Findings) -> tuple[str, ...]:
    main = findings.results.main_sources
    others = any(pair.source not in main for pair in findings.results.pairs)
    return (*main, "other sources") if others else main


def _strips(findings: Findings) -> list[Strip]:
    from benchmarks.detection.plots import Strip

    main = findings.results.main_sources

    def by_source(pairs: Sequence[Pair]) -> Mapping[str, list[float]]:
        found: dict[str, list[float]] = {}
        for pair in pairs:
            if (ratio := pair.ratio()) is not None:
                name = pair.source if pair.source in main else "other sources"
                found.setdefault(name, []).append(ratio / (pair.margin() or 1.0))
        return found

    related = [Strip(name, by_source(pairs), group) for name, group, pairs in findings.rows]
    independent = [
        Strip(name, by_source(chosen), "independent", independent=True)
        for name, belongs in PAIR_KINDS
        if (chosen := [pair for pair in findings.judged if belongs(pair)])
    ]
    return [*related, *independent]


def _query_panels(
    findings: Findings,
) -> Mapping[str, Mapping[str, Sequence[tuple[int, Estimate]]]]:
    panels: dict[str, dict[str, list[tuple[int, Estimate]]]] = {}
    for (group, method, queries), found in findings.compared.items():
        name = method_name(method) + (" (reads weights)" if queries == 0 else "")
        panels.setdefault(group, {}).setdefault(name, []).append((queries, found.tpr1))
    return {group: panels[group] for group in findings.results.groups if group in panels}


def _answer_panels(findings: Findings) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    results = findings.results
    chosen = {group: results.related(group) for group in results.groups}
    chosen["independent"] = results.independent()
    panels = {}
    for group, pairs in chosen.items():
        counts = {kind: Counter(pair.verdict(kind) for pair in pairs) for kind in results.kinds}
        panels[group] = {
            kind: {verdict: count[verdict] for verdict in VERDICTS}
            for kind, count in counts.items()
        }
    return {group: panel for group, panel in panels.items() if chosen[group]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the results and writes the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--out", type=Path, default=PAGE, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        changed = write_page(Findings(load(options.results)), options.out, options.results.parent)
        if options.out == PAGE:
            QUOTED.write_text(quoted(options.results.parent), encoding="utf-8")
    except FingerprintError as error:
        raise SystemExit(f"error: {error}") from error
    if changed:
        print(
            f"{options.out} or a page beside it: other numbers under {', '.join(changed)}; the "
            "sentences there, and those in docs/measured.md, are written by hand: read them again"
        )


if __name__ == "__main__":
    main()
