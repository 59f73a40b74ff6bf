"""Runs jobs one after another, on this machine's cores, or on a cluster; rows come as they end.

::

    with one_by_one() as rows_of: ...
    with here(workers=4) as rows_of: ...
    with elsewhere("tls://scheduler:8786", device="cuda") as rows_of:
        for row in rows_of(jobs): ...

A worker that dies is begun again, and what it was doing is done by another: a job may run twice.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from cli.fleets.jobs import Job, Row, lost
from cli.fleets.local_cluster import GPU, cores, local_cluster
from cli.fleets.running import Runner, run
from fingerprint.text import clean, first_line

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["WAY_OUT", "Run", "elsewhere", "here", "installed", "one_by_one", "places"]

Run = Callable[[Sequence[Job]], Iterator[Row]]

WAY_OUT = "pip install 'nullprint[fleet]'"
_PATIENCE = 15
"""Seconds that a cluster has to answer, and then to show a worker."""


def installed() -> bool:
    """Whether there is Dask."""
    return importlib.util.find_spec("distributed") is not None


def places(device: str) -> int:
    """Returns how many models this machine has room for at a time: a processor or a GPU each."""
    return len(_gpus(device)) or cores()


@contextmanager
def one_by_one() -> Iterator[Run]:
    """Yields what runs jobs one after another; no other library is needed."""
    with Runner() as runner:
        yield lambda jobs: map(runner.run, jobs)


@contextmanager
def here(*, workers: int, device: str = "cpu") -> Iterator[Run]:
    """Yields what runs jobs on this machine.

    Args:
        workers: How many at a time.
        device: Where they compute; each worker has a GPU of its own, where it is none of the CPU.

    Raises:
        EnvironmentFailure: The extra is not installed, or no worker can be begun.
    """
    _require()
    with local_cluster(workers=workers, gpus=_gpus(device)) as client:
        yield partial(_rows, client, device)


@contextmanager
def elsewhere(address: str, *, device: str = "cpu") -> Iterator[Run]:
    """Yields what runs jobs on a cluster.

    Args:
        address: Of its scheduler; what it takes to be let in is in Dask's own settings.
        device: Where to compute; other than on the CPU, each job takes one ``GPU`` of a worker.

    Raises:
        EnvironmentFailure: The extra is not installed, nobody answers, no worker is there, has a
            GPU or has this release.
    """
    from fingerprint.errors import EnvironmentFailure

    _require()
    from distributed import Client

    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        said = first_line(error)
        raise EnvironmentFailure(f"--scheduler {clean(address)}: {said}") from error
    with client:
        _check_workers(client, address, device)
        yield partial(_rows, client, device)


def _require() -> None:
    from fingerprint.errors import EnvironmentFailure

    if not installed():
        raise EnvironmentFailure(f"several models at a time need Dask; {WAY_OUT}")


def _check_workers(client: Client, address: str, device: str) -> None:
    """Refuses a cluster on which nothing would ever run."""
    from fingerprint.errors import EnvironmentFailure
    from registry.criteria import release

    where = f"--scheduler {clean(address)}"
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
        releases = client.run(release)
    except Exception as error:
        # Whatever a worker without this package says of it.
        raise EnvironmentFailure(
            f"{where}: expected workers with nullprint {release()}: {first_line(error)}"
        ) from error
    others = {one for one in releases.values() if one != release()}
    if others:
        raise EnvironmentFailure(
            f"{where}: expected workers with nullprint {release()}, found {clean(min(others))}"
        )
    offered = client.scheduler_info(n_workers=-1)["workers"].values()
    if device != "cpu" and not any(one["resources"].get(GPU) for one in offered):
        raise EnvironmentFailure(
            f"{where}: --device {clean(device)} wants workers that offer a GPU; start them with "
            "dask worker --resources GPU=1"
        )


def _gpus(device: str) -> list[str]:
    """Returns which GPUs of this machine are there, as CUDA is told of them."""
    if not device.startswith("cuda"):
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given:
        return given.split(",")
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _rows(client: Client, device: str, jobs: Sequence[Job]) -> Iterator[Row]:
    """Yields what came of each job, the first to end first."""
    from distributed import Future, as_completed

    resources = {} if device == "cpu" else {GPU: 1}
    futures: dict[str, Future] = {}
    of: dict[str, Job] = {}
    for job in jobs:
        before = [futures[name] for name in job.after if name in futures]
        future = client.submit(run, job, *before, resources=resources, pure=False)
        futures[job.name] = future
        of[future.key] = job
    for future in as_completed(list(futures.values()), loop=client.loop):
        job = of[future.key]
        if future.status == "finished":
            yield Row.from_dict(future.result())
        elif future.status == "error":
            kind = type(future.exception()).__name__
            yield lost(job, f"the workers that had it died ({clean(kind)}); run this again")
        else:
            yield lost(job, "the cluster went away; run this again")
