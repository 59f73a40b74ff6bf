"""What grain on the bases, simulated copies and an earlier depth in the solve are worth, at 224.

    python -m benchmarks.early_probes --work DIR    # of 'benchmarks.families --large'

Probes at one early depth of EfficientNet-Lite0, and of its fine-tune A, solved in four ways, each
with one thing more than the one before: on plain dead leaves, on grained ones, for two drifted
copies of the source as well, and for the depth before as well; all for the same number of passes. A
line for each: the geometric mean harm ratio of every suspect, and how much single probes scatter
(standard deviation of the logarithm).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import efficientnet_lite
from benchmarks.markdown import table
from benchmarks.report import machine
from fingerprint import Model, load_model
from fingerprint.network.depths import depths_of
from fingerprint.probes.bases import dead_leaves, grained_leaves
from fingerprint.probes.kinds import FeatureProbes, ProbeKind
from fingerprint.probes.probe import ProbeRequest
from fingerprint.probes.screening import measure
from fingerprint.probes.simulated import copies_of
from fingerprint.probes.solving import Solver

__all__ = ["main", "ratios"]

_DEPTH = "_blocks.1"
_CONTRAST = 16 / 255
_TURNS = (7, 8, 9, 10)
"""Those of large pictures that stay on the grid."""
_CIFAR = {
    "A": "lite0, A",
    "A pruned 30 %": "lite0, A, pruned",
    "B, SGD 1e-2": "lite0, B",
    "C, SGD 2e-3": "lite0, C",
}
_WAYS = ("plain leaves", "grained leaves", "copies too", "earlier too")


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", default="benchmark")
    parser.add_argument("--probes", type=int, default=12)
    options = parser.parse_args()
    suspects = _suspects(options.work)
    rows = []
    for source in ("Lite0", "A"):
        depths = depths_of(suspects[source])
        place = next(place for place, one in enumerate(depths) if one.name == _DEPTH)
        for number, way in enumerate(_WAYS):
            drawn_from = grained_leaves if number else dead_leaves
            drawn = drawn_from(suspects[source].input, options.seed, options.probes)
            kind = FeatureProbes(
                depths[place],
                contrast=_CONTRAST,
                copies=copies_of(depths[place], options.seed) if number > 1 else (),
                earlier=depths[place - 1 : place] if number > 2 else (),
            )
            found = ratios(kind, suspects[source], suspects.values(), drawn, options.seed)
            rows.append([source, way, *found])
    print(f"{options.probes} probes, seed {options.seed}; measured on {machine()}\n")
    print(table(["source", "solved on or for", *suspects], rows))


def _suspects(work: Path) -> dict[str, Model]:
    arch = "benchmarks.efficientnet_lite:lite"
    found = {"Lite0": load_model(efficientnet_lite.weights(0), arch=f"{arch}0")}
    for name, stem in _CIFAR.items():
        found[name] = load_model(work / f"{stem}.safetensors", arch=f"{arch}0_cifar")
    found["Lite1"] = load_model(efficientnet_lite.weights(1), arch=f"{arch}1")
    file = work / "lite1, A.safetensors"
    found["Lite1, SGD 1e-2"] = load_model(file, arch=f"{arch}1_cifar")
    return found


def ratios(
    kind: ProbeKind, source: Model, suspects: Iterable[Model], bases: NDArray[Any], seed: str
) -> list[str]:
    """Solves a probe on each base; returns each suspect's ratio and its scatter, as cells."""
    rows = range(len(bases))
    requests = [ProbeRequest(kind.name, row, 0) for row in rows]
    solved = Solver(source, seed=seed, bases=bases, kinds=(kind,)).solve(requests)
    harmless = np.stack([one.harmless for one in solved])
    cells = []
    for suspect in suspects:
        orbits = measure(suspect, bases, harmless, rows, _TURNS).orbits
        logs = np.log(orbits.ratios)
        cells.append(f"{np.exp(logs.mean()):.2f} ({logs.std(ddof=1):.2f})")
    return cells


if __name__ == "__main__":
    main()
