"""Which turns of δ independent networks of 224 pixels react to as to δ itself.

    python -m benchmarks.turns --work WORK --data DIR     # of benchmarks.detection.large

The early probes of each published network, as ``benchmarks.detection.large.measure`` registered it,
and δ turned in every way that :mod:`fingerprint.probes.turns` knows, asked of the networks of the
zoo. A line for each pair: the geometric mean harm ratio against turns that exchange the axes, that
keep them, and that keep them and stay on the grid of even rows and columns.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.data import load_data
from benchmarks.detection.large.networks import scale
from benchmarks.detection.large.plan import plan
from benchmarks.detection.methods import harmless as ours
from benchmarks.detection.zoo import Member, members, stem
from benchmarks.markdown import table
from benchmarks.report import machine
from fingerprint import Fingerprint, Model
from fingerprint.probes.codec import decode
from fingerprint.probes.screening import measure
from fingerprint.probes.turns import kinds_of, turns_of

__all__ = ["main", "ratios"]

_EACH = 2
"""Turns of a kind that are asked."""
_KINDS = ("exchange the axes", "keep them", "stay on the grid")


def main() -> None:
    """Prints a table for strangers and one for kin."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="where the zoo was measured")
    parser.add_argument("--data", type=Path, required=True, help="has the images")
    parser.add_argument("--only", default="", help="only suspects whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    zoo = members(options.work, scale(options.data))
    recipes = {recipe.name: recipe for recipe in plan(load_data(options.data))}
    asked = [member for member in zoo if options.only in member.name]
    lines: dict[bool, list[list[str]]] = {False: [], True: []}
    for source in (member for member in zoo if member.source):
        stored = options.work / "measured" / f"{stem(source.name)}__fingerprint.bin"
        fingerprint = decode(stored.read_bytes())
        for member, found in _measured(fingerprint, asked):
            kin = source.name in (member.name, *recipes[member.name].kin)
            lines[kin].append([source.name, member.name, *(f"{ratio:.2f}" for ratio in found)])
    print(f"measured on {machine()}")
    for kin, title in ((False, "Strangers"), (True, "Kin, students among them")):
        print(f"\n## {title}\n\n{table(['source', 'suspect', *_KINDS], lines[kin])}")
        print(f"\n{len(lines[kin])} pairs; {_ranges(lines[kin])}")


def _measured(
    fingerprint: Fingerprint, asked: list[Member]
) -> Iterator[tuple[Member, tuple[float, ...]]]:
    for member in asked:
        model = ours.as_model(member.network(), fingerprint.input.shape)
        yield member, ratios(fingerprint, model)


def ratios(fingerprint: Fingerprint, model: Model) -> tuple[float, ...]:
    """Returns a suspect's geometric mean harm ratio on early probes against each kind of turn.

    Args:
        fingerprint: Of the source.
        model: The suspect.
    """
    shape = fingerprint.input.shape
    early = [one for one in fingerprint.probes if one.kind == fingerprint.depths[0].name]
    rows = [probe.base for probe in early]
    harmless = np.stack([probe.harmless for probe in early])
    found = []
    for kind in kinds_of(shape, range(len(turns_of(shape)))):
        orbits = measure(model, fingerprint.bases, harmless, rows, kind[:_EACH]).orbits
        known = orbits.ratios[orbits.moved]
        found.append(float(np.exp(np.log(known).mean())) if len(known) else 1.0)
    return tuple(found)


def _ranges(lines: list[list[str]]) -> str:
    if not lines:
        return "none"
    columns = np.array([line[2:] for line in lines], dtype=float).T
    return "; ".join(
        f"{name} {column.min():.2f} to {column.max():.2f}, median {np.median(column):.2f}"
        for name, column in zip(_KINDS, columns, strict=True)
    )


if __name__ == "__main__":
    main()
