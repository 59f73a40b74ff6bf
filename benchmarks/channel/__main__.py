"""Measures what twins tell of a channel, or prints what was measured.

    python -m benchmarks.channel                                    # prints results.json
    python -m benchmarks.channel --small WORK --large WORK --data DIR   # measures it anew

``WORK`` are the folders of ``benchmarks.detection.measure`` and of
``benchmarks.detection.large.measure``; either may be left out, then its rows are kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.channel.channels import CHANNELS, EATS
from benchmarks.channel.measure import rows
from benchmarks.detection.large.networks import scale
from benchmarks.detection.zoo import SMALL, members
from benchmarks.markdown import table
from fingerprint.files import write_whole

__all__ = ["RESULTS", "main", "page"]

RESULTS = Path(__file__).parent / "results.json"
_TUNED = ("sgd lr 1e-2", "adamw lr 1e-3", "SGD 1e-2")
"""How fine-tunes of all layers were trained; each source has one of these."""
_SMALL = ("plain cnn 0", "mixer 0", "vit 0", "separable cnn 0", "resnet20")
_LARGE = ("lite0", "lite1", "lite2")
_CROP = "centre crop 0.875"
_KINDS = ("faint", "chroma", "colour", "border", "fine")


def _pairs(sources: Sequence[str]) -> dict[str, dict[str, str]]:
    """Each source's copy, a fine-tune and the source after the next."""
    return {
        name: {
            name: "copy",
            **{f"{name}/fine-tuned, all layers, {how}": "derived" for how in _TUNED},
            sources[(place + 2) % len(sources)]: "stranger",
        }
        for place, name in enumerate(sources)
    }


def _measure(options: argparse.Namespace, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measures the zoos whose folders are given, one row after the other onto the disk."""
    every = tuple(CHANNELS)
    asked = {
        32: {"copy": every, "stranger": ("none", "JPEG 95"), "derived": ("none", _CROP)},
        224: {
            "copy": ("none", "JPEG 75", "JPEG 95", _CROP, "resized to 25/28 and back", "grey"),
            "stranger": ("none",),
            "derived": ("none", _CROP),
        },
    }
    for folder, side, sources in ((options.small, 32, _SMALL), (options.large, 224, _LARGE)):
        if folder is None:
            continue
        kind = SMALL if side == 32 else scale(options.data)
        known = [row for row in known if row["side"] != side]
        zoo = {member.name: member for member in members(folder, kind)}
        present = {
            source: {name: what for name, what in suspects.items() if name in zoo}
            for source, suspects in _pairs(sources).items()
        }
        for row in rows(folder, zoo, present, side, asked[side]):
            known.append(row)
            print(row["side"], row["suspect"], row["channel"], row["without"], row["with"])
            _keep(known, options.out)
    return known


def _keep(known: list[dict[str, Any]], path: Path) -> None:
    text = json.dumps({"rows": known}, indent=1) + "\n"
    write_whole(path, lambda stream: stream.write(text.encode()))


def _verdicts(found: list[dict[str, Any]], which: str) -> str:
    """Returns verdicts with their number, such as ``derived 3, inconclusive 5``."""
    counts = {
        verdict: sum(row[which] == verdict for row in found)
        for verdict in ("same", "derived", "inconclusive", "independent")
    }
    return ", ".join(f"{verdict} {count}" for verdict, count in counts.items() if count) or "-"


def _named(found: list[dict[str, Any]]) -> str:
    """Returns how many were told what is lost, rightly and wrongly, of those that were asked."""
    asked = [row for row in found if row["twins"] is not None]
    lost = [(row["twins"]["lost"], EATS.get(row["channel"], frozenset())) for row in asked]
    right = sum(bool(kinds) and set(kinds) <= eaten for kinds, eaten in lost)
    wrong = sum(not set(kinds) <= eaten for kinds, eaten in lost)
    right += sum(row["channel"] == "BGR" and row["flipped"] for row in asked)
    return f"{right} / {wrong} / {len(asked)}"


def _tables(found: list[dict[str, Any]], side: int) -> str:
    """Returns the tables of one size as Markdown."""
    here = [row for row in found if row["side"] == side]
    parts = []
    for what, title in (
        ("copy", "The very model"),
        ("derived", "Fine-tuned"),
        ("stranger", "Strangers"),
    ):
        lines = []
        for channel in CHANNELS:
            of = [row for row in here if row["what"] == what and row["channel"] == channel]
            if of:
                lines.append((channel, _verdicts(of, "without"), _verdicts(of, "with"), _named(of)))
        heading = (title, "without twins", "with twins", "named right / wrong / asked")
        parts += [table(heading, lines)] if lines else []
    return "\n\n".join(parts)


def _reactions(found: list[dict[str, Any]], side: int) -> str:
    """Returns the least, middle and largest reaction to each kind of twin, by channel."""
    lines = []
    for channel in CHANNELS:
        of = [
            row["twins"]["reactions"]
            for row in found
            if row["side"] == side and row["channel"] == channel and row["twins"] is not None
        ]
        of = [reactions for reactions in of if reactions]
        if of:
            cells = [_spread(sorted(one[kind] for one in of)) for kind in _KINDS]
            lines.append((channel, *cells))
    return table(("channel", *_KINDS), lines)


def _strangest(found: list[dict[str, Any]], side: int) -> str:
    """Says how much fine detail moved copies that a change of size alone made strangers."""
    shares = [
        row["twins"]["fine"].get(row["source"], 0.0)
        for row in found
        if row["side"] == side
        and row["what"] != "stranger"
        and row["without"] == "independent"
        and row["channel"].startswith(("resized", "blurred"))
        and row["twins"] is not None
    ]
    if not shares:
        return "No copy became a stranger by a change of size alone."
    return (
        f"Fine detail moved copies that a change of size alone made strangers ({len(shares)}) at "
        f"most {max(shares):.2f} times as much as the model itself."
    )


def _spread(values: list[float]) -> str:
    return f"{values[0]:.2g} / {values[len(values) // 2]:.2g} / {values[-1]:.2g}"


def page(document: Mapping[str, Any]) -> str:
    """Returns the tables of ``docs/channel.md`` as Markdown, from what was measured."""
    found = document["rows"]
    sides = sorted({row["side"] for row in found})
    parts = [
        f"### {side} pixels\n\n{_tables(found, side)}\n\n"
        f"Reactions: least / middle / largest\n\n{_reactions(found, side)}\n\n"
        f"{_strangest(found, side)}"
        for side in sides
    ]
    return "\n\n".join(parts)


def main() -> None:
    """Measures what is asked for, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", type=Path, help="folder of the zoo of 32 pixels")
    parser.add_argument("--large", type=Path, help="folder of the zoo of 224 pixels")
    parser.add_argument("--data", type=Path, help="has the photographs, for the large zoo")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    print(page({"rows": _measure(options, known)}))


if __name__ == "__main__":
    main()
