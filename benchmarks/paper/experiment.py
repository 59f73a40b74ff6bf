"""What an experiment of the paper is: options, and findings that are printed and kept.

    options = read_options(__doc__)
    findings = Findings(
        name="figure2",
        title="Figure 2: dimension against stride",
        tables=(Table(caption="Convolutions", headings=("stride", "dimension"), rows=(...)),),
        pictures=(Picture(file="figure2.svg", caption="..."),),
        notes=("Where our numbers differ from the paper's, and why.",),
    )
    publish(findings, options)

Findings are kept as JSON beside their pictures, and ``benchmarks.paper.page`` writes the page
from these files alone, so no number on it was typed by hand.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import machine
from fingerprint.files import write_whole

__all__ = ["Findings", "Options", "Picture", "Table", "publish", "read_findings", "read_options"]

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
        lines = [self.headings, tuple("---" for _ in self.headings), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in the folder of the findings.

    Attributes:
        file: Its name there.
        caption: What is to be seen, also for those who cannot see it.
    """

    file: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What an experiment found.

    Attributes:
        name: Of the module, such as ``figure2``.
        title: Heading on the page.
        setting: What was measured on: networks, data, sizes, accuracies; one paragraph.
        tables: In order.
        pictures: In order, already written.
        notes: Paragraphs: what the paper says, where ours differs and why.
        numbers: The figures in full, for programs.
    """

    name: str
    title: str
    setting: str
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)


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
    parser.add_argument("--out", type=Path, default=OUT, help="folder of findings and pictures")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    work = given.work or Path(".paper") / ("images" if given.data else "digits")
    given.out.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    return Options(data=given.data, work=work, out=given.out, device=given.device)


def publish(findings: Findings, options: Options) -> None:
    """Prints the tables and keeps the findings as JSON."""
    for table in findings.tables:
        print(f"\n{table.caption}\n\n{table.markdown()}", flush=True)
    for note in findings.notes:
        print(f"\n{note}")
    seconds = time.monotonic() - options.begun
    document = {"machine": machine(), "seconds": round(seconds), **asdict(findings)}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(options.out / f"{findings.name}.json", lambda stream: stream.write(text.encode()))


def read_findings(path: Path) -> tuple[Findings, str, int]:
    """Reads findings back, with the machine they were measured on and the seconds it took."""
    document = json.loads(path.read_text(encoding="utf-8"))
    where, seconds = document.pop("machine"), document.pop("seconds")
    tables = tuple(
        Table(
            caption=table["caption"],
            headings=tuple(table["headings"]),
            rows=tuple(map(tuple, table["rows"])),
        )
        for table in document.pop("tables")
    )
    pictures = tuple(Picture(**picture) for picture in document.pop("pictures"))
    notes = tuple(document.pop("notes"))
    return Findings(tables=tables, pictures=pictures, notes=notes, **document), where, seconds
