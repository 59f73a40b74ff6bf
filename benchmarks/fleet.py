"""What many models at a time cost and gain, and what becomes of them when workers are killed.

    python -m benchmarks.fleet --measure killed throughput scheduler [--page docs/fleets.md]

Perceptrons are trained on scikit-learn's digits, one epoch each. *killed* registers 200 of them by
their answers while workers are killed (SIGKILL), and once more, when there is nothing left to do:
little is solved, so that much is written while somebody dies. *throughput* registers a few with six
probes each, one after another in this process, then by the runners of ``fp register --each``.
*scheduler* has the cluster of ``--each`` do tasks that do nothing.

Whoever ends it goes on where it was: networks, rows and ways that are through are kept in
``--work``. Each part is kept in ``benchmarks/fleet.json`` when it is through; without ``--measure``
they are only printed. All of it took half an hour on two processors with a load of 15.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from benchmarks.markdown import decimal, table
from benchmarks.pages import write_filled
from benchmarks.report import machine, progress
from cli.fleets import scheduling
from cli.fleets.jobs import Job, Row
from cli.fleets.local_cluster import local_cluster
from fingerprint import load_model
from fingerprint.files import write_whole
from fingerprint.lab.data import digits
from fingerprint.lab.networks import mlp
from fingerprint.lab.training import Settings, one_thread, trained
from registry import Registry

__all__ = ["main", "tables"]

_RESULTS = Path(__file__).with_suffix(".json")
_ARCH, _SHAPE, _PROBES = "fingerprint.lab.networks:mlp", (1, 16, 16), 6
_WORDS = (f"--arch={_ARCH}", f"--input-size={','.join(map(str, _SHAPE))}")
_SOLVED = (f"--probes={_PROBES}",)
_ASKED = ("--answers-only",)
_COUNTS = (1, 2, 4)
_EMPTY = 10_000
_PARTS = ("killed", "throughput", "scheduler")


def made(folder: Path, count: int) -> list[Path]:
    """Trains the networks that are not there yet and returns the files of all."""
    data, settings = digits(), Settings(epochs=1)
    files = [folder / f"digits_{index:03d}.safetensors" for index in range(count)]
    for index, file in enumerate(files):
        progress("training", index, count)
        if not file.exists():
            weights = trained(mlp, data, settings, seed=index).state_dict()
            save_file({key: one.contiguous() for key, one in weights.items()}, file)
    return files


def kept(file: Path) -> dict[str, Any]:
    """Returns what a part that was ended had kept."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def keep(file: Path, found: Mapping[str, Any]) -> None:
    """Keeps how far a part is."""
    text = json.dumps(found, indent=1) + "\n"
    write_whole(file, lambda stream: stream.write(text.encode()))


def jobs_of(files: Sequence[Path], registry: Path, more: Sequence[str] = _SOLVED) -> list[Job]:
    """Returns what ``fp register --each`` would do."""
    return [
        Job(
            verb="register",
            model=str(file),
            name=file.stem,
            words=(*_WORDS, *more, f"--name={file.stem}"),
            registry=str(registry),
            seconds=3600,
            folder=os.getcwd(),
        )
        for file in files
    ]


def in_this_process(files: Sequence[Path], registry: Path) -> Iterator[str]:
    """Registers models as a program would that uses the library."""
    with Registry(registry) as opened:
        for file in files:
            model = load_model(file, arch=_ARCH, input_size=_SHAPE)
            yield opened.register(model, name=file.stem, probes=_PROBES).name


def timed(make: Callable[[], Iterator[object]]) -> dict[str, Any]:
    """Returns how long models took: the first, with everything that is begun once, and the rest."""
    began = time.perf_counter()
    ends = [time.perf_counter() - began for _ in make()]
    rest = ends[-1] - ends[0]
    return {
        "models": len(ends),
        "first after": ends[0],
        "seconds": ends[-1],
        "per minute": 60 * (len(ends) - 1) / rest,
    }


def one_by_one(files: Sequence[Path], registry: Path) -> Iterator[Row]:
    """Registers models without Dask, each in a process of its own."""
    with scheduling.one_by_one() as run:
        yield from run(jobs_of(files, registry))


def on_dask(files: Sequence[Path], workers: int, registry: Path) -> Iterator[Row]:
    """Registers models on a cluster of this machine."""
    with scheduling.here(workers=workers) as run:
        yield from run(jobs_of(files, registry))


def throughput(files: Sequence[Path], folder: Path, workers: int) -> list[dict[str, Any]]:
    """Registers the same models in several ways, each into a registry of its own."""
    ways: dict[str, Callable[[Path], Iterator[object]]] = {
        "one process, by the library": partial(in_this_process, files),
        "without Dask, a process for each model": partial(one_by_one, files),
        **{
            f"Dask, {count} worker{'s' if count > 1 else ''}": partial(on_dask, files, count)
            for count in _COUNTS
            if count <= workers
        },
    }
    file = folder / "throughput.json"
    found = kept(file)
    for name, make in ways.items():
        if name not in found:
            at = empty(folder / "throughput")
            found[name] = {"way": name, **timed(partial(make, at))}
            keep(file, found)
    return [found[name] for name in ways]


def empty(folder: Path) -> Path:
    """Returns a new registry, in place of whatever the folder held."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    Registry(folder / "registry.db").close()
    return folder / "registry.db"


def _is_worker(process: Any) -> bool:
    """Whether a process is a worker, and not one that Python has beside them."""
    import psutil

    try:
        words = " ".join(process.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return False
    return "spawn_main" in words


def _kill_one(draw: random.Random, killed: list[int]) -> None:
    import psutil

    workers = [one for one in psutil.Process().children() if _is_worker(one)]
    if workers:
        chosen = draw.choice(workers)
        chosen.kill()
        killed.append(chosen.pid)


@contextmanager
def killing(every: float, seed: int) -> Iterator[tuple[Callable[[Row], None], list[int]]]:
    """Yields what is told of each row, and whom it killed: a worker once in so many models.

    Whether, whom and when is drawn: at a moment of the next model, which may take as long as the
    last. By models and not by the clock, or a busy machine would do nothing but begin workers.
    """
    draw, killed = random.Random(seed), list[int]()
    with ExitStack() as waiting:

        def row_ended(row: Row) -> None:
            if draw.random() < 1 / every:
                timer = threading.Timer(
                    draw.uniform(0, row.seconds), _kill_one, args=(draw, killed)
                )
                timer.start()
                waiting.callback(timer.join)

        yield row_ended, killed


def survived(files: Sequence[Path], folder: Path, workers: int, every: float) -> dict[str, Any]:
    """Registers models while workers are killed, then says what is in the registry."""
    file, at = folder / "killed.json", folder / "killed" / "registry.db"
    found = kept(file)
    if not found:
        empty(at.parent)
        found = {"rows": {}, "killed": 0, "seconds": 0.0}
        keep(file, found)
    jobs = jobs_of(files, at, _ASKED)
    left = [job for job in jobs if job.name not in found["rows"]]
    began, before = time.perf_counter(), dict(found)
    with (
        scheduling.here(workers=workers) as run,
        killing(every, len(left)) as (row_ended, killed),
    ):
        for row in run(left):
            row_ended(row)
            found["rows"][row.name] = row.outcome
            found["killed"] = before["killed"] + len(killed)
            found["seconds"] = before["seconds"] + time.perf_counter() - began
            keep(file, found)
            progress("registering", len(found["rows"]), len(jobs))
    if "again" not in found:
        began = time.perf_counter()
        with scheduling.here(workers=workers) as run:
            again = Counter(row.outcome for row in run(jobs))
        found["again"] = {"rows": dict(again), "seconds": time.perf_counter() - began}
        keep(file, found)
    rows = dict(Counter(found["rows"].values()))
    return {**found, "rows": rows, "workers": workers, **counted(files, at)}


def counted(files: Sequence[Path], at: Path) -> dict[str, int]:
    """Returns how often models are in a registry, and in its chain."""
    with Registry(at) as opened:
        names = Counter(one.name for one in opened.models())
        opened.check()
    with sqlite3.connect(at) as connection:
        query = "select count(*) from chain where action = 'register'"
        ((entries,),) = connection.execute(query).fetchall()
    return {
        "models": len(files),
        "registered once": sum(names[one.stem] == 1 for one in files),
        "lost": len({one.stem for one in files} - names.keys()),
        "entries in the chain": entries,
    }


def _nothing(number: int) -> int:
    return number


def empty_tasks(count: int) -> dict[str, Any]:
    """Returns what tasks cost that do nothing."""
    with local_cluster(workers=2, gpus=[]) as client:
        client.gather(client.map(_nothing, range(100), pure=False))
        began, used = time.perf_counter(), time.process_time()
        client.gather(client.map(_nothing, range(count), pure=False))
        seconds, used = time.perf_counter() - began, time.process_time() - used
    return {"tasks": count, "seconds": seconds, "processor seconds": used}


def measure(parts: Sequence[str], options: argparse.Namespace) -> None:
    """Measures some parts, each kept when it is through."""
    found, folder = kept(options.results), options.work
    folder.mkdir(parents=True, exist_ok=True)
    with one_thread():
        make: dict[str, Callable[[], Any]] = {
            "killed": lambda: survived(
                made(folder, options.models), folder, options.workers, options.every
            ),
            "throughput": lambda: throughput(made(folder, options.few), folder, options.workers),
            "scheduler": lambda: empty_tasks(_EMPTY),
        }
        for part in parts:
            result = make[part]()
            where = f"{machine()}, load {os.getloadavg()[1]:.0f} on {_processors()} processors"
            found[part] = {"measured on": where, "found": result}
            keep(options.results, found)


def _processors() -> int:
    return len(os.sched_getaffinity(0))


def tables(results: Mapping[str, Any]) -> dict[str, Callable[[], str]]:
    """Returns the tables by name."""
    return {
        "throughput": lambda: _throughput(results["throughput"]["found"]),
        "killed": lambda: _killed(results["killed"]["found"]),
        "scheduler": lambda: _scheduler(results["scheduler"]["found"]),
    }


def _throughput(found: Sequence[Mapping[str, Any]]) -> str:
    base = found[0]["per minute"]
    return table(
        (
            "how",
            "models",
            "first after, s",
            "all after, s",
            "models a minute then",
            "of one process",
        ),
        [
            (
                one["way"],
                one["models"],
                decimal(one["first after"], 0),
                decimal(one["seconds"], 0),
                decimal(one["per minute"], 1),
                decimal(one["per minute"] / base),
            )
            for one in found
        ],
    )


def _killed(found: Mapping[str, Any]) -> str:
    return table(
        (
            "models",
            "workers",
            "killed",
            "rows",
            "registered once",
            "lost",
            "chain",
            "s",
            "once more, s",
        ),
        [
            (
                found["models"],
                found["workers"],
                f"{found['killed']} times",
                _rows(found["rows"]),
                found["registered once"],
                found["lost"],
                f"{found['entries in the chain']} registrations",
                decimal(found["seconds"], 0),
                decimal(found["again"]["seconds"], 0),
            )
        ],
    )


def _rows(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))


def _scheduler(found: Mapping[str, Any]) -> str:
    each = 1000 * found["seconds"] / found["tasks"]
    used = 1000 * found["processor seconds"] / found["tasks"]
    return table(
        ("empty tasks", "s", "ms each", "processor ms each, scheduler and client"),
        [(found["tasks"], decimal(found["seconds"], 1), decimal(each), decimal(used))],
    )


def main() -> None:
    """Measures, if asked, and prints and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", nargs="+", default=[], choices=_PARTS, metavar="PART")
    parser.add_argument("--models", type=int, default=200, help="while workers are killed")
    parser.add_argument("--few", type=int, default=12, help="for the throughput")
    parser.add_argument("--workers", type=int, default=2, help="at most")
    parser.add_argument("--every", type=float, default=12.0, help="models to a kill, about")
    parser.add_argument("--work", type=Path, default=Path(".fleet"), help="what is kept meanwhile")
    parser.add_argument("--results", type=Path, default=_RESULTS)
    parser.add_argument("--page", type=Path, help="write the tables into this page")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options)
    results = kept(options.results)
    made_of = {name: make for name, make in tables(results).items() if name in results}
    for name, make in made_of.items():
        print(f"\n{name}: measured on {results[name]['measured on']}\n\n{make()}")
    if options.page is not None:
        write_filled(options.page, tables(results), title="Many models at once: tables")


if __name__ == "__main__":
    main()
