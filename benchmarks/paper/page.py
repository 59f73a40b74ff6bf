"""Writes the tables of docs/paper.md from what the experiments kept.

    python -m benchmarks.paper.page [--out docs/paper] [--page docs/paper.md]

The page is written by hand around its tables (see ``benchmarks.pages``), and so are the captions
of its pictures. Equal files give equal bytes, so a diff of the page is a diff of the numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.pages import write_filled
from benchmarks.paper.experiment import OUT, Findings, Table, read_findings
from fingerprint.errors import FingerprintError

__all__ = ["EXPERIMENTS", "PAGE", "main", "tables"]

PAGE = Path("docs/paper.md")

EXPERIMENTS = ("figure2", "figure3", "table2", "figure4", "figure5", "embeddings", "depth")
"""In the order of the page."""


def tables(folder: Path) -> Mapping[str, Callable[[], str]]:
    """Returns what makes each table of the page: ``figure2/1``, and what it was measured on.

    Raises:
        MalformedFile: A file of findings is not one.
    """
    found: dict[str, Callable[[], str]] = {}
    for name in EXPERIMENTS:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        findings = read_findings(path)
        for number, one in enumerate(findings.tables, start=1):
            found[f"{name}/{number}"] = partial(_captioned, one)
        found[f"{name}/measured"] = partial(_measured, findings)
    return found


def _captioned(one: Table) -> str:
    return f"**{one.caption}**\n\n{one.markdown()}"


def _measured(findings: Findings) -> str:
    seconds = findings.seconds
    took = f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
    return f"*Measured in {took} on {findings.machine}.*"


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the findings and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder of findings and pictures")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page")
    options = parser.parse_args(arguments)
    try:
        changed = write_filled(
            options.page, tables(options.out), title="The paper's tables, printed again"
        )
    except FingerprintError as error:
        raise SystemExit(f"error: {error}") from error
    if changed:
        print(
            f"{options.page}: other numbers in {', '.join(changed)}; the sentences there are "
            "written by hand: read them again"
        )


if __name__ == "__main__":
    main()
