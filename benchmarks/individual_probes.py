"""What a pruned copy in the solve is worth to individual probes, at both scales.

    python -m benchmarks.individual_probes --data DATA --small DIR [--large DIR]

``DIR`` are the folders of ``benchmarks.families``. For the child A of each family, with its parent
P as the relative: probes in A's last features, or in its logits where these are too wide, solved
with and without the copy. A line for each: the geometric mean harm ratio of every suspect, and how
much single probes scatter (standard deviation of the logarithm).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data import load_data
from benchmarks.early_probes import ratios
from benchmarks.families import large
from benchmarks.families.members import Family
from benchmarks.families.small import families
from benchmarks.markdown import table
from benchmarks.report import machine
from fingerprint import Model
from fingerprint.network.depths import depths_of
from fingerprint.probes.bases import grained_leaves
from fingerprint.probes.extraction.late import late_kind
from fingerprint.probes.kinds import IndividualProbes

__all__ = ["main"]

_ROLES = ("itself", "copy", "further", "relative")


def main() -> None:
    """Prints a table for each family."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--small", type=Path, required=True, help="networks of 32 pixels")
    parser.add_argument("--large", type=Path, help="networks of 224 pixels")
    parser.add_argument("--seed", default="benchmark")
    parser.add_argument("--probes", type=int, default=16)
    options = parser.parse_args()
    data = load_data(options.data)
    print(f"{options.probes} probes, seed {options.seed}; measured on {machine()}\n")
    for family in families(data, options.data):
        _print(family, options.small, options.seed, options.probes)
    if options.large is not None:
        _print(large.families(data)[0], options.large, options.seed, options.probes)


def _print(family: Family, folder: Path, seed: str, probes: int) -> None:
    print(f"## {family.name}\n\n{_table(family, folder, seed, probes)}\n", flush=True)


def _table(family: Family, folder: Path, seed: str, probes: int) -> str:
    child, parent = (one.model(folder) for one in (family.child, family.parent))
    suspects = {
        one.title: one.network.model(folder) for one in family.suspects if one.role in _ROLES
    }
    bases = grained_leaves(child.input, seed, probes)
    rows = []
    for copies, kind in _kinds(child, parent):
        found = ratios(kind, child, suspects.values(), bases, seed)
        rows.append([kind.name, str(copies), *found])
    return table(["depth", "pruned copies", *suspects], rows)


def _kinds(child: Model, parent: Model) -> Iterator[tuple[int, IndividualProbes]]:
    """Yields what registering solves, without copies and with them."""
    kind, _ = late_kind(depths_of(child), {"P": parent}, None)
    assert isinstance(kind, IndividualProbes)
    for copies in ((), kind.copies):
        yield (
            len(copies),
            IndividualProbes(kind.depth, kind.relatives, contrast=kind.contrast, copies=copies),
        )


if __name__ == "__main__":
    main()
