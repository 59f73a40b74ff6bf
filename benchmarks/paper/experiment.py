"""What an experiment of the paper is: options, and findings that are printed and kept.

    options = read_options(__doc__)
    findings = Findings(
        name="figure2",
        tables=(Table(caption="Convolutions", headings=("stride", "dimension"), rows=(...)),),
        numbers={"rank": 1024},
    )
    publish(findings, options)

Findings are kept as JSON beside their pictures, and ``benchmarks.paper.page`` writes the tables
of the page from these files alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.markdown import table
from benchmarks.report import machine
from fingerprint.errors import MalformedFile
from fingerprint.files import write_whole

__all__ = ["Findings", "Options", "Table", "publish", "read_findings", "read_options"]

OUT = Path("docs/paper")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as it is shown: cells are texts, already rounded.

    Attributes:
        caption: One line above it.
        headings: Of the columns.
        rows: As many cells each as there are headings.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.headings) for row in self.rows):
            raise ValueError(f"table '{self.caption}': a row has not one cell for each heading")

    def markdown(self) -> str:
        """Returns the table in Markdown."""
        return table(self.headings, self.rows)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What an experiment found.

    Attributes:
        name: Of the module, such as ``figure2``.
        tables: In order.
        numbers: The figures in full, for programs.
        machine: What it was measured on; filled in when it is published.
        seconds: How long it took; likewise.
    """

    name: str
    tables: tuple[Table, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)
    machine: str = ""
    seconds: int = 0


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an experiment is run.

    Attributes:
        data: Folder with ``cifar10_sample.npz``; None for scikit-learn's digits.
        work: Where trained networks are kept from one run to the next.
        out: Where findings and pictures go.
        device: Where to compute.
    """

    data: Path | None
    work: Path
    out: Path
    device: str = "cpu"
    begun: float = field(default_factory=time.monotonic)


def read_options(description: str | None, arguments: Sequence[str] | None = None) -> Options:
    """Reads the options every experiment has from the command line."""
    first_line = (description or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=first_line)
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz; digits without it")
    parser.add_argument("--work", type=Path, help="where trained networks are kept")
    parser.add_argument("--out", type=Path, help="folder of findings and pictures")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    work = given.work or Path(".paper") / ("images" if given.data else "digits")
    # The committed findings are those on images; digits have a page of their own.
    out = given.out or (OUT if given.data else work / "paper")
    out.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    return Options(data=given.data, work=work, out=out, device=given.device)


def publish(findings: Findings, options: Options) -> None:
    """Prints the tables and keeps the findings as JSON."""
    for one in findings.tables:
        print(f"\n{one.caption}\n\n{one.markdown()}", flush=True)
    seconds = round(time.monotonic() - options.begun)
    document = asdict(replace(findings, machine=machine(), seconds=seconds))
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(options.out / f"{findings.name}.json", lambda stream: stream.write(text.encode()))


def read_findings(path: Path) -> Findings:
    """Reads findings back.

    Raises:
        MalformedFile: It holds no findings.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        tables = tuple(
            Table(
                caption=table["caption"],
                headings=tuple(table["headings"]),
                rows=tuple(map(tuple, table["rows"])),
            )
            for table in document.pop("tables")
        )
        return Findings(tables=tables, **document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedFile(
            f"{path}: expected findings of an experiment, got {type(error).__name__}: {error}; "
            "remove the file or run the experiment again"
        ) from error
