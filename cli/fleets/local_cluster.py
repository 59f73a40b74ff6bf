"""A Dask cluster on this machine that nobody else can reach and nobody has to notice.

::

    with local_cluster(workers=4, gpus=["0", "1"]) as client: ...
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from fingerprint.text import first_line

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

__all__ = ["GPU", "cores", "local_cluster"]

GPU = "GPU"
"""What a worker that has one offers, and a job that needs one takes."""

_FAILURES = 10
"""Workers that a job may lose before it is given up."""
_AT_HOME = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
_LOOKED_AFTER = 5.0
"""Seconds between two looks at whether workers are missing."""


def cores() -> int:
    """Returns how many processors this process may use."""
    # What a container or a batch system leaves, where that can be asked.
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable is not None else os.cpu_count() or 1


@contextmanager
def local_cluster(*, workers: int, gpus: Sequence[str]) -> Iterator[Client]:
    """Yields a client of a cluster that ends with the block.

    Args:
        workers: How many; each has one thread.
        gpus: The GPUs of this machine, dealt out in turn; none for the CPU.

    Raises:
        EnvironmentFailure: It cannot be begun.
    """
    import dask
    from distributed import Client

    from fingerprint.errors import EnvironmentFailure

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fp-"))
        stack.enter_context(dask.config.set(_settings(workers)))
        try:
            cluster = stack.enter_context(_cluster(workers, gpus, folder))
            client = stack.enter_context(Client(cluster, set_as_default=False))
        except (OSError, RuntimeError) as error:
            said = first_line(error)
            raise EnvironmentFailure(f"workers on this machine do not start: {said}") from error
        stack.enter_context(_looked_after(cluster, workers))
        yield client


def _settings(workers: int) -> dict[str, Any]:
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // workers))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        "distributed.scheduler.allowed-failures": _FAILURES,
        # On a busy machine a worker that died takes a while to be there again.
        "distributed.deploy.lost-worker-timeout": "60s",
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.nanny.pre-spawn-environ": {
            "DASK_LOGGING__DISTRIBUTED": "critical",
            **dict.fromkeys(names, threads),
        },
    }


def _cluster(workers: int, gpus: Sequence[str], folder: str) -> SpecCluster:
    from distributed import Nanny, Scheduler, SpecCluster
    from distributed.security import Security

    # Whoever reaches a scheduler runs code as its owner: nobody else on this machine may.
    shared = {"security": Security.temporary(), **_AT_HOME}

    def worker(index: int) -> dict[str, Any]:
        options = {
            **shared,
            "local_directory": folder,
            "nthreads": 1,
            "memory_limit": 0,  # what takes memory is not the worker's own process
            "resources": {GPU: 1} if gpus else {},
            "env": {"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if gpus else {},
        }
        return {"cls": Nanny, "options": options}

    return SpecCluster(
        scheduler={"cls": Scheduler, "options": {**shared, "dashboard": False}},
        workers={index: worker(index) for index in range(workers)},
        security=shared["security"],
        silence_logs="CRITICAL",
    )


@contextmanager
def _looked_after(cluster: SpecCluster, workers: int) -> Iterator[None]:
    """Has workers that are gone for good, killed while they began, made anew."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOKED_AFTER):
            cluster.scale(workers)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
