"""Registers a child, and asks its copies, children, siblings, parent and strangers about it.

    python -m benchmarks.families --work WORK [--data DIR] [--only NAME] [--large]

Each family is measured twice: with the parent registered and declared, and without it, when
nobody can tell a child from a sibling. Networks that are missing under WORK are trained there, and
what was measured is kept in its folder ``measured``, so a run goes on where it stopped. Without
``--data`` the families are of scikit-learn's digits; ``--large`` takes EfficientNet-Lites at 224
pixels, which needs CIFAR-10 in DIR.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.data import load_data
from benchmarks.detection.split import HALVES
from benchmarks.families import large, small
from benchmarks.families.members import Family
from benchmarks.families.table import measure, registered, row, summary, table
from benchmarks.report import machine, progress
from fingerprint.files import write_whole
from registry import Registry

__all__ = ["main"]

_PARENT = {True: "P is registered", False: "P is not registered"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints two tables for each family."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.families", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="where networks are kept")
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz; digits without it")
    parser.add_argument("--large", action="store_true", help="at 224 pixels")
    parser.add_argument("--half", choices=HALVES, help="only families of this half")
    parser.add_argument("--results", type=Path, help="a file for what was measured")
    parser.add_argument("--only", default="", help="only families whose name contains this")
    parser.add_argument("--probes", type=int, help="of each model; the default is the library's")
    options = parser.parse_args(arguments)
    if options.large and options.data is None:
        parser.error("--large needs --data")
    torch.set_num_threads(1)
    data = load_data(options.data)
    found = large.families(data) if options.large else small.families(data, options.data)
    print(f"measured on {machine()}")
    rows: list[dict[str, Any]] = []
    for family in found:
        if options.only in family.name and options.half in (None, family.half):
            for parent_known in (True, False):
                rows += _kept(
                    family, options.work, parent_known=parent_known, probes=options.probes
                )
    if options.results is not None:
        document = {"measured on": machine(), "rows": rows}
        options.results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _kept(
    family: Family, folder: Path, *, parent_known: bool, probes: int | None
) -> list[dict[str, Any]]:
    """Measures a family, or reads what was measured of it before."""
    parent = _PARENT[parent_known]
    name = f"{family.name}, {parent}, {probes or 'default'} probes.json"
    target = folder / "measured" / name
    if target.exists():
        print(f"\n{family.name}, {parent}: measured before", flush=True)
        kept: list[dict[str, Any]] = json.loads(target.read_text(encoding="utf-8"))
        return kept
    options = {} if probes is None else {"probes": probes}
    rows = _printed(family, folder, parent_known=parent_known, **options)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, lambda stream: stream.write(json.dumps(rows).encode()))
    return rows


def _printed(
    family: Family, folder: Path, *, parent_known: bool, **options: Any
) -> list[dict[str, Any]]:
    """Registers in a registry of its own, verifies, prints one table and returns its rows."""
    with TemporaryDirectory() as place, Registry(Path(place) / "registry.db") as registry:
        began = time.monotonic()
        kept = registered(
            family, registry, folder, parent_known=parent_known, progress=progress, **options
        )
        between = time.monotonic()
        outcomes = measure(family, registry, folder, parent_known=parent_known, progress=progress)
    print(f"\n## {family.name}, {_PARENT[parent_known]}\n\n{table(outcomes)}\n")
    print(
        f"{summary(outcomes)}. {family.called} has {kept.probes} probes; registering took "
        f"{between - began:.0f} s and verifying {time.monotonic() - between:.0f} s, "
        "with the making of networks that were missing.",
        flush=True,
    )
    return [row(family, outcome, parent_known=parent_known) for outcome in outcomes]


if __name__ == "__main__":
    main()
