"""How near siblings come that learned little: fine-tunes of the public ResNet-20, rate by rate.

    python -m benchmarks.gentle --work WORK --data DIR

Two fine-tunes learn once from one half of the images each, at the same rate. One is registered with
its parent; a line for each rate: what its individual probes do to the nearest relative that can be
made without the sibling, to the sibling, and to copies (harm ratios), and what is said of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.data import load_data
from benchmarks.families.children import another
from benchmarks.families.members import Family, Suspect
from benchmarks.families.small import families, tuned
from benchmarks.families.table import Outcome, measure, registered
from benchmarks.markdown import decimal, table
from benchmarks.report import machine, progress
from fingerprint.evidence.finding import Finding
from fingerprint.lab.data import Data
from fingerprint.lab.training import Settings
from registry import Registry

__all__ = ["main"]

_RATES = (1e-4, 1e-3, 1.5e-3, 2e-3, 3e-3, 5e-3)
"""Of SGD, for all layers."""
_ASKED = ("itself", "copy")
_HEAD = (
    "rate",
    "nearest relative",
    "margin",
    "child",
    "int8",
    "30 % pruned",
    "sibling",
    "said of it",
)


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="where networks are kept")
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(options.data)
    (first, *_) = families(data, options.data)
    print(f"measured on {machine()}\n", flush=True)
    rows = [list(_row(_of(first, data, rate), options.work)) for rate in _RATES]
    print(table(_HEAD, [(f"{rate:g}", *row) for rate, row in zip(_RATES, rows, strict=True)]))


def _of(family: Family, data: Data, rate: float) -> Family:
    """Returns a child that learned at a rate, its copies, and its sibling."""
    settings = Settings(epochs=1, lr=rate, optimizer="sgd", scheduled=False)
    child, sibling = (
        tuned(
            family.parent,
            f"SGD {rate:g}, {k}",
            replace(
                data, train_images=data.train_images[k::2], train_labels=data.train_labels[k::2]
            ),
            settings,
        )
        for k in (0, 1)
    )
    made = another(family, "A", child, Suspect("sibling", "relative", sibling))
    asked = [one for one in made.suspects if one.role in _ASKED or one.network is sibling]
    return replace(made, suspects=tuple(asked))


def _row(family: Family, folder: Path) -> Iterator[str]:
    with TemporaryDirectory() as place, Registry(Path(place) / "registry.db") as registry:
        registered(family, registry, folder, parent_known=True, progress=progress)
        outcomes = measure(family, registry, folder, parent_known=True, progress=progress)
        yield decimal(registry.fingerprint(family.called).relatives_ratio)
    findings = [_individual(one) for one in outcomes]
    margin = findings[0].margin
    yield decimal(margin.value if margin else None)
    yield from (decimal(one.statistic) for one in findings)
    said = outcomes[-1].candidate
    yield said.verdict if said else "ruled out"


def _individual(outcome: Outcome) -> Finding:
    assert outcome.candidate is not None
    return next(
        one for one in outcome.candidate.findings if one.speaks_for == "individual" and one.depth
    )


if __name__ == "__main__":
    main()
