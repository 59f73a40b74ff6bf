"""Writes docs/paper.md from what the experiments kept.

    python -m benchmarks.paper.page [--out docs/paper] [--page docs/paper.md]

Every number comes from ``OUT/*.json``, and equal files give equal bytes, so a diff of the page is
a diff of the numbers. What stands in those files is text, never Markdown: it is escaped.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from benchmarks.paper.experiment import OUT, Findings, Picture, Table, read_findings
from fingerprint.files import write_whole

__all__ = ["EXPERIMENTS", "escaped", "main", "page_text", "write_page"]

PAGE = Path("docs/paper.md")

EXPERIMENTS = ("figure2", "figure3", "table2", "figure4", "figure5", "embeddings", "depth")
"""In the order of the page; findings of any other name follow."""

_INTRODUCTION = """\
# The paper's tables and figures, printed again

For a reader of *Contrasting Adversarial Perturbations: The Space of Harmless Perturbations*
(Chen et al., AAAI 2025) who asks whether it holds, and for whom the numbers are too good to be
taken on trust. Each section is one experiment: what was measured on, our numbers beside the
paper's where it prints any, and where they differ and why.

`make paper` prints all of it again on scikit-learn's digits, `make paper DATA=DIR` on the
CIFAR-10 images in `DIR/cifar10_sample.npz`; `python -m benchmarks.paper --only NAME` runs one
experiment. Networks are trained on a few thousand images in minutes, so accuracies are lower
than the paper's; what a first layer does not notice does not depend on them. The numbers in full
are in the JSON files beside the pictures."""

# Everything that can open a construct of Markdown or HTML inside a line.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&$])")
# What opens one at the beginning of a line: headings, lists, quotations, rules.
_BLOCK = re.compile(r"#{1,6}(?=\s|$)|[-+](?=\s|$)|[-=]+$|\d+(?=[.)](?:\s|$))")


def escaped(text: str) -> str:
    """Returns a text as one line of Markdown that reads as the text itself."""
    line = " ".join(text.split())
    line = _SPECIAL.sub(r"\\\1", line)
    found = _BLOCK.match(line)
    if found is None:
        return line
    # A number is no punctuation, which alone can be escaped: its point or bracket is.
    opening = found[0] if found[0].isdigit() else ""
    return f"{opening}\\{line[len(opening) :]}"


def page_text(folder: Path, link: str) -> str:
    """Writes the page.

    Args:
        folder: Has the findings and the pictures.
        link: The folder as seen from the page, such as ``paper``.

    Raises:
        ValueError: A file of findings is not one.
    """
    kept = {path.stem: path for path in sorted(folder.glob("*.json"))}
    names = [*EXPERIMENTS, *(name for name in kept if name not in EXPERIMENTS)]
    read = {name: _read(kept[name]) for name in names if name in kept}
    contents = [_entry(name, read.get(name)) for name in names]
    parts = [_INTRODUCTION, "\n".join(contents)]
    for name, (findings, machine, seconds) in read.items():
        parts.extend(_section(name, findings, folder, link))
        parts.append(f"*Measured in {_duration(seconds)} on {escaped(machine)}.*")
    return "\n\n".join(parts) + "\n"


def _read(path: Path) -> tuple[Findings, str, int]:
    try:
        return read_findings(path)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected findings of an experiment, got {type(error).__name__}: {error}; "
            "remove the file or run the experiment again"
        ) from error


def _entry(name: str, found: tuple[Findings, str, int] | None) -> str:
    if found is None:
        return f"- {escaped(name)}: missing; run `python -m benchmarks.paper --only {name}`"
    return f"- [{escaped(found[0].title)}](#{quote(name)})"


def _section(name: str, findings: Findings, folder: Path, link: str) -> Iterator[str]:
    yield f'<a id="{quote(name)}"></a>\n\n## {escaped(findings.title)}'
    yield escaped(findings.setting)
    for table in findings.tables:
        yield f"**{escaped(table.caption)}**"
        yield _table(table)
    for picture in findings.pictures:
        yield _picture(picture, folder, link)
    for note in findings.notes:
        yield escaped(note)


def _table(table: Table) -> str:
    return Table(
        caption=table.caption,
        headings=tuple(map(escaped, table.headings)),
        rows=tuple(tuple(map(escaped, row)) for row in table.rows),
    ).markdown()


def _picture(picture: Picture, folder: Path, link: str) -> str:
    caption = escaped(picture.caption)
    if picture.file != Path(picture.file).name or not (folder / picture.file).is_file():
        return f"The picture {escaped(picture.file)} is missing: {caption}"
    return f"![{caption}]({quote(link)}/{quote(picture.file)})\n\n*{caption}*"


def _duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"


def write_page(folder: Path, page: Path) -> None:
    """Writes the page to a file."""
    page.parent.mkdir(parents=True, exist_ok=True)
    link = Path(os.path.relpath(folder, page.parent)).as_posix()
    text = page_text(folder, link)
    write_whole(page, lambda stream: stream.write(text.encode()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the findings and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder of findings and pictures")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        write_page(options.out, options.page)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
