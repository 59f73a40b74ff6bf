"""The process of one job: told on its standard input what to do, and ended with whoever told it.

::

    python -m cli.service.child        # a line of JSON comes, then nothing until the server ends

Nothing comes back: how far it is and what came of it goes into the service's file, whole or not at
all, so that it does not matter when this process or the server is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from cli import process

__all__ = ["main", "order"]

_EVERY = 0.3
"""Seconds between two notes of how far a job is."""
_GRACE = 5.0
"""Seconds in which a job that is to end may clean up."""


def order(settings: Any, job: str) -> bytes:
    """Returns what a server tells the process of a job."""
    values = {**vars(settings), "folder": str(settings.folder), "code": list(settings.code)}
    return json.dumps({"job": job, "settings": values}).encode() + b"\n"


def main() -> int:
    """Does the job; whether it failed is in the service's file."""
    process.prepare()
    process.first_to_go()
    stdin = sys.stdin.buffer
    told = json.loads(stdin.readline())
    threading.Thread(target=_end_with, args=(stdin,), daemon=True).start()
    from cli.service.jobs import Jobs
    from cli.service.problems import problem_of
    from cli.service.settings import Settings
    from cli.service.store import Store
    from cli.service.work import work

    values = told["settings"]
    folder, code = Path(values["folder"]), tuple(values["code"])
    settings = Settings(**{**values, "folder": folder, "code": code})
    store = Store(folder)
    jobs = Jobs(store)
    job = jobs.get(told["job"])
    try:
        result = work(job, settings, store, _reporting(jobs, job.id))
    except Exception as error:
        if process.debugging():
            raise
        problem = problem_of(error, folder=folder)
        jobs.end(job.id, "failed", problem=problem.to_dict())
    else:
        jobs.end(job.id, "done", result=result)
    return 0


def _end_with(stdin: IO[bytes]) -> None:
    """Ends this process when the server has ended, which closes the other end."""
    stdin.read()
    # First as somebody who asks: what runs in a sandbox is ended with it.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(process.TERMINATED)


def _reporting(jobs: Any, identifier: str) -> Callable[[str, int, int], None]:
    """Returns a progress callback that writes down every change of stage, and some of the rest."""
    last: tuple[str, float] = ("", 0.0)

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if stage == last[0] and now - last[1] < _EVERY and done != total:
            return
        last = stage, now
        jobs.report(identifier, stage, done, total)

    return report


if __name__ == "__main__":
    sys.exit(main())
