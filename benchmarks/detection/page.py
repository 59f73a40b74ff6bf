"""Writes docs/detection.md and its plots from the committed results file.

    python -m benchmarks.detection.page [--results FILE] [--out docs/detection.md]
                                        [--readme README.md]

Equal results give equal bytes, so a diff of the page is a diff of the numbers.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.detection import reliability, sections
from benchmarks.detection.findings import Findings
from benchmarks.detection.metrics import Estimate
from benchmarks.detection.results import OURS, VERDICTS, Pair, load
from fingerprint.errors import FingerprintError, UsageError

if TYPE_CHECKING:
    from benchmarks.detection.plots import Strip

__all__ = ["main", "page_text", "with_paragraph", "write_page", "write_plots", "write_readme"]

RESULTS = Path(__file__).with_name("results.json")
_BEGIN, _END = "<!-- detection:begin -->", "<!-- detection:end -->"

_INTRODUCTION = """\
# What the tool can tell apart, and how often it is wrong

For an auditor who has to decide how much a verdict is worth. Ten minutes. Every number is
computed from `benchmarks/detection/results.json`, which `make detection` rewrites.

- **Source**: a registered network. **Suspect**: a network asked about. A pair of the two is
  **related** when the suspect was made from the source, else **independent**.
- **Harm ratio**: how far inputs solved for the source move the suspect's answers, over how far
  the same inputs turned or mirrored do. Near 0 for the source, about 1 for an independent network.
- **Found at 1 %**: the suspect scores beyond a threshold that at most 1 % of independent pairs
  pass. Brackets are 95 % intervals."""


def page_text(findings: Findings) -> str:
    """Writes the page as Markdown; plots are named by paths relative to it."""
    parts = (
        _INTRODUCTION,
        sections.answer(findings),
        sections.by_modification(findings),
        sections.by_queries(findings),
        sections.by_answer_kind(findings),
        reliability.how_often_wrong(findings),
        reliability.calibration(findings),
        reliability.designs(findings),
        reliability.limits(findings),
        reliability.how_measured(findings),
    )
    return "\n\n".join(parts) + "\n"


def write_page(findings: Findings, out: Path) -> None:
    """Writes the page to a file, and its plots into the folder ``detection`` beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_plots(findings, out.parent / "detection")
    out.write_text(page_text(findings), encoding="utf-8")


def write_plots(findings: Findings, folder: Path, suffix: str = ".svg") -> None:
    """Draws the page's plots, one for each claim."""
    from benchmarks.detection import plots  # only who draws needs matplotlib

    results = findings.results
    plots.plot_ratios(
        _strips(findings), _plotted_sources(findings), results.margin, folder / f"ratios{suffix}"
    )
    plots.plot_queries(
        _query_panels(findings),
        results.budgets,
        folder / f"queries{suffix}",
        ours=sections.method_name(OURS),
    )
    plots.plot_calibration(reliability.calibrations(findings), folder / f"calibration{suffix}")
    plots.plot_answer_kinds(_answer_panels(findings), folder / f"answers{suffix}")


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
                found.setdefault(name, []).append(ratio)
        return found

    related = [Strip(name, by_source(pairs), group) for name, group, pairs in findings.rows]
    independent = [
        Strip(name, by_source(chosen), "independent", independent=True)
        for name, belongs in reliability.PAIR_KINDS
        if (chosen := [pair for pair in findings.judged if belongs(pair)])
    ]
    return [*related, *independent]


def _query_panels(
    findings: Findings,
) -> Mapping[str, Mapping[str, Sequence[tuple[int, Estimate]]]]:
    panels: dict[str, dict[str, list[tuple[int, Estimate]]]] = {}
    for (group, method, queries), found in findings.compared.items():
        name = sections.method_name(method) + (" (reads weights)" if queries == 0 else "")
        panels.setdefault(group, {}).setdefault(name, []).append((queries, found.tpr1))
    return {group: panels[group] for group in findings.results.groups if group in panels}


def _answer_panels(findings: Findings) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    results = findings.results
    chosen = {group: results.related(group) for group in results.groups}
    chosen["independent"] = results.independent()
    panels = {}
    for group, pairs in chosen.items():
        counts = {
            kind: Counter(pair.verdict(kind) for pair in pairs if pair.verdict(kind))
            for kind in results.kinds
        }
        panels[group] = {
            kind: {verdict: count[verdict] for verdict in VERDICTS}
            for kind, count in counts.items()
        }
    return {group: panel for group, panel in panels.items() if chosen[group]}


def with_paragraph(text: str, paragraph: str) -> str:
    """Replaces what stands between the two markers.

    Raises:
        UsageError: The markers are missing, twice there, or the wrong way round.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end) or _BEGIN in rest or _END in before + after:
        raise UsageError(
            f"expected {_BEGIN} and then {_END} once each, got another arrangement; "
            "put the two lines where the paragraph belongs"
        )
    return f"{before}{_BEGIN}\n{paragraph}\n{_END}{after}"


def write_readme(findings: Findings, readme: Path, out: Path) -> None:
    """Rewrites the three-number paragraph of a README, which links to the page."""
    try:
        link = out.resolve().relative_to(readme.resolve().parent).as_posix()
    except ValueError:
        link = out.as_posix()
    text = readme.read_text(encoding="utf-8")
    paragraph = sections.readme_paragraph(findings, link)
    readme.write_text(with_paragraph(text, paragraph), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the results and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path("docs/detection.md"), metavar="FILE")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="also rewrite its paragraph")
    options = parser.parse_args(arguments)
    try:
        findings = Findings(load(options.results))
        write_page(findings, options.out)
        if options.readme is not None:
            write_readme(findings, options.readme, options.out)
    except FingerprintError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
