"""Registers hundreds of real networks and asks whose suspects are, at growing numbers of models.

    python -m benchmarks.many --work WORK [--data DIR] [--models N] [--results FILE]

``WORK`` is where ``benchmarks.detection.zoo`` built its networks (with the same ``--data``); the
registry and the suspects are kept in a folder there, and a run goes on where it stopped. Four
parts, all by default: ``register`` the networks; ``ask`` suspects that nobody registered at 25,
50, 100 and 200 models; how many copies and strangers lie below the ``floor`` of one to many, for
digits networks and, with ``--lite0`` and ``--lite1`` (see ``benchmarks.panel``), at 224 pixels
too; and ``simulate`` 10,000 models around a real one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import panel
from benchmarks.data import load_data
from benchmarks.detection.zoo import Member, members
from benchmarks.many import asking, floor, simulated
from benchmarks.many.registering import SIZES, registered_networks, registrable, snapshot
from benchmarks.many.suspects import Suspected, suspects
from benchmarks.markdown import table
from benchmarks.report import machine
from fingerprint.files import write_whole
from fingerprint.lab.data import DEFAULT_SIZE, Data
from fingerprint.lab.training import one_thread

PARTS = ("register", "ask", "floor", "simulate")
SIMULATED = (100, 1000, 10_000)


def _registered(
    zoo: Sequence[Member], folder: Path, data: Data, options: argparse.Namespace
) -> Any:
    made = registered_networks(zoo, folder, data.input_size, options.probes)
    rows = []
    for begin, end in zip((0, *SIZES), SIZES, strict=False):
        some = made[begin:end]
        if some:
            seconds, solving = (sum(one[key] for one in some) for key in ("seconds", "solving"))
            probes = sum(one["probes"] > 0 for one in some)
            size = some[-1]["bytes"] / 2**20
            counts = (f"{begin + 1} to {begin + len(some)}", probes)
            each = (f"{seconds / len(some):.1f}", f"{(seconds - solving) / len(some):.1f}")
            rows.append([*counts, *each, f"{size:.0f}"])
    head = ("models", "with probes", "seconds each", "of them not solving", "file, MiB")
    print("\n## Registering\n\n" + table(head, rows))
    return {"head": head, "rows": rows}


def _asked(zoo: Sequence[Member], folder: Path, data: Data, about: Sequence[Suspected]) -> Any:
    kin = asking.kin_of(zoo)
    found: list[asking.Asked] = []
    memory: dict[int, float] = {}
    for size in SIZES:
        path = snapshot(folder, size)
        if path.exists():
            some, grown = asking.alone(asking.asked_at, path, about, kin, data.input_size)
            found += some
            memory[size] = grown
            print(f"asked {len(some)} suspects at {size} models", flush=True)
    print("\n## Asking\n\n" + table(asking.HEAD, asking.growth(found, memory)))
    head = ("suspects", "number", "same", "derived", "inconclusive", "independent", "wrong")
    print("\n" + table(head, asking.by_change(found)))
    return {"suspects": asking.plain(found), "MiB": memory}


def _floor(
    zoo: Sequence[Member], data: Data, about: Sequence[Suspected], options: argparse.Namespace
) -> Any:
    rows = list(_floor_of(floor.of_zoo(zoo, about, data.input_size), data.input_size))
    digits = (1, DEFAULT_SIZE, DEFAULT_SIZE)
    rows += _floor_of(floor.of_panel(panel.small(), digits), digits)
    if options.lite0 and options.lite1:
        lites = panel.lites({0: options.lite0, 1: options.lite1})
        rows += _floor_of(floor.of_panel(lites, (3, 224, 224)), (3, 224, 224))
    print("\n## Below the floor\n\n" + table(floor.HEAD, rows))
    return {"head": floor.HEAD, "rows": rows}


def _floor_of(asked: Sequence[floor.Asked], size: tuple[int, ...]) -> Iterable[list[object]]:
    return floor.rows(size[-1], list(floor.compared(asked)))


def _simulated(minutes: float) -> Any:
    rows = list(simulated.simulate(SIMULATED, limit=60 * minutes))
    print("\n## Simulated\n\n" + table(simulated.HEAD, rows))
    return {"head": simulated.HEAD, "rows": rows}


def main() -> None:
    """Prints the tables and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="where the zoo was built")
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz; digits without it")
    parser.add_argument("--models", type=int, default=200, help="how many to register")
    parser.add_argument(
        "--probes", type=int, default=10**6, help="the first so many get probes, others none"
    )
    parser.add_argument("--lite0", type=Path, nargs="*", default=[], help="its fine-tunes")
    parser.add_argument("--lite1", type=Path, nargs="*", default=[], help="its fine-tunes")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--minutes", type=float, default=60, help="stop simulating then")
    parser.add_argument("--results", type=Path, help="the results file, completed part by part")
    options = parser.parse_args()
    data, folder = load_data(options.data), options.work / "many"
    real = set(options.parts) - {"simulate"}
    zoo = registrable(members(options.work))[: options.models] if real else []
    made = {}
    with one_thread():
        if "register" in options.parts:
            made["register"] = _registered(zoo, folder, data, options)
        about = suspects(data, [one for one in zoo if one.name == one.base], folder / "suspects")
        if "ask" in options.parts:
            made["ask"] = _asked(zoo, folder, data, about)
        if "floor" in options.parts:
            made["floor"] = _floor(zoo, data, about, options)
        if "simulate" in options.parts:
            made["simulate"] = _simulated(options.minutes)
    if options.results is not None:
        known = json.loads(options.results.read_text()) if options.results.exists() else {}
        networks = f", {len(zoo)} networks" if real else ""
        on = f"{machine()}; {data.name}{networks}"
        known |= {part: {"on": on, **found} for part, found in made.items()}
        text = json.dumps(known, indent=1) + "\n"
        write_whole(options.results, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    main()
