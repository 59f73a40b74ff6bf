"""What grain, the depth before and a second solve are worth, at 224 pixels.

    python -m benchmarks.early_probes --work DIR    # of 'benchmarks.families --large'

Probes at one early depth of EfficientNet-Lite0, its fine-tune A, Lite1 and Lite2, solved in
several ways: on plain dead leaves, on grained ones, and for the depth before as well; at other
contrasts, and with three times the passes; then as the library does, weak first and
enlarged. A line for each: the geometric mean harm ratio of every suspect, and how much single
probes scatter (standard deviation of the logarithm).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import efficientnet_lite
from benchmarks.markdown import table
from benchmarks.report import machine
from fingerprint import Model, load_model
from fingerprint.lab.modifications import with_weights, without_smallest
from fingerprint.network.depths import depths_of
from fingerprint.probes.bases import dead_leaves, grained_leaves
from fingerprint.probes.extraction.early import early_kind
from fingerprint.probes.harmless_spaces import find_spaces
from fingerprint.probes.kinds import FeatureProbes, ProbeKind
from fingerprint.probes.probe import ProbeRequest
from fingerprint.probes.screening import measure
from fingerprint.probes.solving import Solver

__all__ = ["main", "ratios"]

_DEPTH = "_blocks.1"
_CONTRAST = 16 / 255
_PASSES = 50
_ALONE = ((12, _PASSES), (24, _PASSES), (24, 3 * _PASSES))
"""Contrasts, of 255, and passes of those that are solved once."""
_TURNS = (7, 8, 9, 10)
"""Those of large pictures that stay on the grid."""
_CIFAR = {
    "A": "lite0, A",
    "A pruned 30 %": "lite0, A, pruned",
    "B, SGD 1e-2": "lite0, B",
    "C, SGD 2e-3": "lite0, C",
}
_SOURCES = ("Lite0", "A", "Lite1", "Lite2")


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", default="benchmark")
    parser.add_argument("--probes", type=int, default=12)
    options = parser.parse_args()
    suspects = _suspects(options.work)
    rows = []
    for source in _SOURCES:
        model = suspects[source]
        for way, grained, kind in _ways(model):
            drawn_from = grained_leaves if grained else dead_leaves
            drawn = drawn_from(model.input, options.seed, options.probes)
            rows.append([source, way, *ratios(kind, model, suspects.values(), drawn, options.seed)])
            print(rows[-1], flush=True)
    print(f"{options.probes} probes, seed {options.seed}; measured on {machine()}\n")
    print(table(["source", "solved on, for or at", *suspects], rows))


def _ways(model: Model) -> Iterator[tuple[str, bool, FeatureProbes]]:
    """Yields each way: its name, whether its bases have grain, and the probes."""
    depths = depths_of(model)
    place = next(place for place, one in enumerate(depths) if one.name.endswith(_DEPTH))
    depth, before = depths[place], depths[place - 1 : place]
    solve = partial(FeatureProbes, depth, contrast=_CONTRAST)
    yield "plain leaves", False, solve(passes=_PASSES)
    yield "grained leaves", True, solve(passes=_PASSES)
    yield "the depth before", True, solve(earlier=before, passes=_PASSES)
    for contrast, passes in _ALONE:
        alone = FeatureProbes(depth, contrast=contrast / 255, earlier=before, passes=passes)
        yield f"the depth before, ±{contrast}, {passes} passes", True, alone
    ours = early_kind(solve(), depths, find_spaces(model), ())
    assert isinstance(ours, FeatureProbes)
    yield "the same, weak and then enlarged", True, ours


def _suspects(work: Path) -> dict[str, Model]:
    arch = "benchmarks.efficientnet_lite:lite"
    found = {"Lite0": load_model(efficientnet_lite.weights(0), arch=f"{arch}0")}
    for name, stem in _CIFAR.items():
        found[name] = load_model(work / f"{stem}.safetensors", arch=f"{arch}0_cifar")
    for version in (1, 2):
        published = efficientnet_lite.weights(version)
        found[f"Lite{version}"] = load_model(published, arch=f"{arch}{version}")
    rough = with_weights(found["Lite1"].module, partial(without_smallest, share=0.3))
    spec = found["Lite1"].input
    found["Lite1 pruned 30 % in each layer"] = load_model(
        rough, input_size=spec.shape, mean=spec.mean, std=spec.std
    )
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
