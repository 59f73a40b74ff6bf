"""Measures the zoo at 224 pixels, and writes the results file.

    python -m benchmarks.detection.large.measure --work WORK --data DIR [--out FILE] \
        [--device cuda]

Each published network is registered with default settings and everybody is asked about it, as in
:mod:`benchmarks.detection.measure`. The threshold of a source's detection rate comes from the other
sources. What has been measured is kept under ``WORK/measured``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.data import load_data
from benchmarks.detection import measure
from benchmarks.detection.large.networks import photographs, scale
from benchmarks.detection.methods import harmless as ours
from benchmarks.detection.zoo import members

__all__ = ["RESULTS", "main"]

RESULTS = Path(measure.__file__).with_name("results224.json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what the zoo holds and writes the results file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.large.measure",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--work", type=Path, required=True, help="where the zoo was built")
    parser.add_argument("--data", type=Path, required=True, help="has the images")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the results file")
    parser.add_argument("--device", default="cpu", help="where everybody runs")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    began = time.monotonic()
    small = load_data(options.data)
    zoo = members(options.work, scale(options.data))
    probes = ours.DEFAULT_PROBES
    pictures = photographs(options.data)
    bench = measure.Bench(
        pictures, options.work, (), probes=probes, lengths=(probes,), device=options.device
    )
    document = measure.document(bench, zoo, {}, chosen=lambda member: member.source)
    seconds = time.monotonic() - began
    facts = measure.facts(small, "reporting", zoo, document["sources"], seconds)
    document["made"] = facts | {"command": "python -m benchmarks.detection.large.measure"}
    measure.write_document(document, options.out)


if __name__ == "__main__":
    main()
