"""Runs one command in a process that may die of it.

::

    with Runner() as runner:
        rows = [runner.run(job) for job in jobs]
    run(job)        # on a Dask worker, which keeps a runner for each of its threads
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from cli.fleets.jobs import Ended, Job, Row, row_of
from cli.fleets.nursery import LONGEST_DOCUMENT
from fingerprint.sandbox.wire import receive, send

__all__ = ["Runner", "run"]

_PATIENCE = 5.0
"""Seconds that a process has to end in order."""


class Runner:
    """One :mod:`nursery <cli.fleets.nursery>`, begun when it is needed, and again if it is gone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, job: Job) -> Row:
        """Does a job, whatever becomes of its process."""
        began = time.monotonic()
        asked = {
            "line": job.line,
            "registry": job.registry,
            "origin": job.origin,
            "seconds": job.seconds,
            "folder": job.folder,
        }
        try:
            questions, answers = self._begun()
            send(questions, asked)
            reply, out = receive(answers, most=LONGEST_DOCUMENT)
        except (EOFError, OSError):
            code = self.close() or -1
            return row_of(job, Ended(code=code, seconds=time.monotonic() - began))
        return row_of(job, Ended(out=out, **reply))

    def close(self) -> int | None:
        """Ends it, and the command that it runs, if any; returns how it ended."""
        process, self._process = self._process, None
        if process is None:
            return None
        for stream in self._streams:
            with contextlib.suppress(OSError):
                stream.close()
        try:
            return process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:  # it is importing still, and runs nothing
            process.kill()
            return process.wait()

    def _begun(self) -> tuple[BinaryIO, BinaryIO]:
        """Returns where it is asked, and where it answers."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            # Ctrl-C is for whoever began this; they close the pipe, which ends it in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.fleets.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            self._streams = cast(
                "tuple[BinaryIO, BinaryIO]", (self._process.stdin, self._process.stdout)
            )
        return self._streams


_idle: list[Runner] = []


def run(job: Job, *before: Any) -> dict[str, Any]:
    """Does a job on a worker of a cluster.

    Args:
        job: The job.
        *before: What came of those that it waited for, which is in the registry.
    """
    del before
    # Taking from a list and putting back is atomic: no two threads share a runner.
    runner = _idle.pop() if _idle else Runner()
    row = runner.run(job)
    _idle.append(runner)
    return row.to_dict()
