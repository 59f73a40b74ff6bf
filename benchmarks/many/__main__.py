"""Registers hundreds of real networks and asks whose suspects are, at growing numbers of models.

    python -m benchmarks.many --work WORK [--data DIR] [--models N] [--results FILE]

``WORK`` is where ``benchmarks.detection.zoo`` built its networks (its options are the same);
the registry and the suspects are kept in a folder there, and a run goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.data import load_data
from benchmarks.detection.zoo import members
from benchmarks.many.registering import registered_networks, registrable
from benchmarks.many.suspects import suspects
from fingerprint.lab.training import one_thread


def main() -> None:
    """Prints the tables and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="where the zoo was built")
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz; digits without it")
    parser.add_argument("--models", type=int, default=200, help="how many to register")
    parser.add_argument("--probes", type=int, default=10**6, help="how many of them get probes")
    parser.add_argument("--results", type=Path, help="where the results file goes")
    options = parser.parse_args()
    data = load_data(options.data)
    zoo = registrable(members(options.work))[: options.models]
    folder = options.work / "many"
    with one_thread():
        registered_networks(zoo, folder, data.input_size, options.probes)
        suspects(data, [one for one in zoo if one.name == one.base], folder / "suspects")


if __name__ == "__main__":
    main()
