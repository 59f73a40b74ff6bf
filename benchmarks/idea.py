"""Draws the picture that explains the method: what is asked, and how far it moves whom.

    python -m benchmarks.idea [--out docs/pictures/idea.svg]

A small network is trained on scikit-learn's digits and its probes are made; then copies of it and a
network that was trained apart are verified. The pictures are the first probe of the early depth,
the bars are means over all probes of that depth. Takes less than a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.pictures import COLOURS, drawing, show
from fingerprint import Fingerprint, Verification, extract, load_model, verify
from fingerprint.lab import data, modifications, networks, training
from fingerprint.lab.training import pixels

__all__ = ["Row", "draw", "main", "measured"]

OUT = Path("docs/pictures/idea.svg")
SEED = "picture"


@dataclass(frozen=True)
class Row:
    """What one network made of the probes.

    Attributes:
        name: What it is.
        verdict: What is said of it.
        probe: How far its answers move by the probes, geometric mean.
        turned: By the same perturbations, turned.
    """

    name: str
    verdict: str
    probe: float
    turned: float


def measured() -> tuple[Fingerprint, list[Row]]:
    """Trains, registers and verifies; returns the fingerprint, and what each made of it."""
    digits = data.digits()
    source = training.trained(networks.cnn, digits, seed=0)
    suspects = {
        "the source": source,
        "rounded to 8 bits": modifications.quantised(source),
        "30 % pruned": modifications.pruned(source),
        "fine-tuned": modifications.fine_tuned(source, digits, seed=11),
        "a stranger": training.trained(networks.cnn, digits, seed=1),
    }
    size: Any = {"input_size": digits.input_size, "mean": (0.0,), "std": (1.0,)}
    fingerprint = extract(load_model(source, **size), seed=SEED, probes=48)
    depth = fingerprint.probes[0].kind
    rows = [
        _row(name, depth, verify(load_model(network, **size), {"source": fingerprint}))
        for name, network in suspects.items()
    ]
    return fingerprint, rows


def _row(name: str, depth: str, found: Verification) -> Row:
    (candidate,) = found.candidates
    (finding,) = (
        one for one in candidate.findings if one.test == "harm_ratio" and one.depth == depth
    )
    probes = [one for one in finding.detail["per_probe"] if one["used"]]
    means = (np.exp(np.mean(np.log([one[key] for one in probes]))) for key in _HARMS)
    return Row(name, found.verdict, *map(float, means))


_HARMS = ("harm", "control_harm")
_SIDES = (
    (-0.2, "moved by the perturbation", COLOURS[1]),
    (0.2, "by the same, turned", COLOURS[5]),
)


def draw(fingerprint: Fingerprint, rows: list[Row], out: Path) -> None:
    """Writes the picture."""
    with drawing(out, width=8.2, height=3.9) as figure:
        parts: Any = figure.subfigures(2, 1, height_ratios=(1, 1.05))
        above, below = parts
        shown = _pictures(fingerprint)
        for axes, (title, picture) in zip(above.subplots(1, 4), shown, strict=True):
            show(axes, picture)
            axes.set_title(title)
        axes = below.subplots()
        places = np.arange(len(rows))
        heights = ([row.probe for row in rows], [row.turned for row in rows])
        for height, (side, label, colour) in zip(heights, _SIDES, strict=True):
            axes.bar(places + side, height, 0.36, color=colour, label=label)
        labels = [f"{row.name}\nratio {row.probe / row.turned:.2f}: {row.verdict}" for row in rows]
        axes.set_xticks(places, labels)
        axes.set_ylabel("how far answers move")
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.12), ncols=2)


def _pictures(fingerprint: Fingerprint) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields base, perturbation, probe and first control of the first probe."""
    probe = fingerprint.probes[0]
    base = fingerprint.bases[probe.base]
    change = probe.harmless.astype(np.int16) - base
    enlarged = (128 + 127 // max(1, int(np.abs(change).max())) * change).astype(np.uint8)
    shown: tuple[tuple[str, NDArray[np.uint8]], ...] = (
        ("a base", base),
        ("a perturbation solved\nfor the source, enlarged", enlarged),
        ("the base with it", probe.harmless),
        ("the base with it turned", fingerprint.controls[0]),
    )
    for title, picture in shown:
        yield title, pixels(picture)


def main(arguments: list[str] | None = None) -> None:
    """Measures and draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    fingerprint, rows = measured()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw(fingerprint, rows, options.out)
    for row in rows:
        print(f"{row.name}: {row.probe:.3g} / {row.turned:.3g}, {row.verdict}")


if __name__ == "__main__":
    main()
