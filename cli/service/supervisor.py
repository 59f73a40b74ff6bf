"""Sees to it that every job is done once: a process for each, some at a time.

::

    supervisor = Supervisor(settings, store, registry)
    supervisor.claim()      # the folder is this server's
    supervisor.start()      # goes on with what a server before was doing
    supervisor.stop()       # what is not done yet, the next server does

One server at a time has a folder. Its lock is handed to the processes of jobs, so that it is free
only when the last of them has ended: a new server never begins a job that an old process is still
doing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import output, process
from cli.service.child import order
from cli.service.jobs import Job, Jobs
from cli.service.problems import Problem, UnknownJob
from cli.service.settings import Settings
from cli.service.store import Store
from cli.service.uploads import Uploads
from cli.service.work import found
from fingerprint.errors import EnvironmentFailure
from fingerprint.text import clean, first_line
from registry import UnknownModel

if TYPE_CHECKING:
    from registry import Registry

__all__ = ["Supervisor"]

_TICK = 0.2
_AFTER_ERROR = 5.0
_GRACE = 6.0
"""Seconds that a process has after it was told to end; a little more than it takes for itself."""
_LOCK_SECONDS = 30.0
_TIDY_SECONDS = 600.0


@dataclass
class _Running:
    """A job and its process."""

    job: str
    child: subprocess.Popen[bytes]
    began: float
    told: float | None = None
    late: bool = False


class Supervisor:
    """Runs the jobs of a service.

    Args:
        settings: Of the service.
        store: Its file.
        registry: To see what a job has written.
    """

    def __init__(self, settings: Settings, store: Store, registry: Registry) -> None:
        self._settings, self._store, self._registry = settings, store, registry
        self._jobs = Jobs(store)
        self._uploads = Uploads(store, settings.max_upload)
        self._left: list[Job] = []
        self._running: list[_Running] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)
        self._tidied = -_TIDY_SECONDS
        self._lock = -1

    def claim(self) -> None:
        """Takes the folder.

        Raises:
            EnvironmentFailure: Another server has it.
        """
        self._lock = _locked(self._store.folder)

    def start(self) -> None:
        """Begins, with what an earlier server left; the folder is claimed."""
        self._left = self._jobs.running()
        self._drop_strays()
        self._thread.start()

    def _drop_strays(self) -> None:
        """Removes tokens that were kept for a job when a server died before there was the job."""
        for folder in self._store.private("").glob("*"):
            try:
                self._jobs.get(folder.name)
            except UnknownJob:
                shutil.rmtree(folder, ignore_errors=True)

    def stop(self) -> None:
        """Ends every process; the jobs go on when the next server starts."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        for running in self._running:
            _close(running.child)
        for running in self._running:
            _wait_for(running.child)
            self._settle(self._jobs.get(running.job), counted=False)
        self._running.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _loop(self) -> None:
        pause = _TICK
        while not self._ending.wait(pause):
            pause = _TICK
            try:
                self._tend()
            except Exception as error:
                # Such as a full disk: the service goes on to answer, and this is tried again.
                output.error(f"jobs: {first_line(error)}")
                pause = _AFTER_ERROR

    def _tend(self) -> None:
        """Looks once after everything."""
        while self._left:
            self._settle(self._left[-1], counted=True)
            self._left.pop()
        for running in list(self._running):
            self._look_after(running)
        while len(self._running) < self._settings.workers:
            job = self._jobs.take()
            if job is None:
                break
            try:
                self._begin(job)
            except OSError:
                self._settle(job, counted=True)
                raise
        for job in self._jobs.uncleared():
            self._clear(job)
        if time.monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidied = time.monotonic()
            self._uploads.drop_old()

    def _begin(self, job: Job) -> None:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.service.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # What a library says of a stranger's file is not for this terminal.
            stderr=None if process.debugging() else subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
            pass_fds=[self._lock],
        )
        assert child.stdin is not None
        # One that has died at once is seen to below, like one that dies later.
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(order(self._settings, job.id))
            child.stdin.flush()
        self._running.append(_Running(job.id, child, time.monotonic()))

    def _look_after(self, running: _Running) -> None:
        """Reaps a process that ended, or ends one whose job was cancelled or takes too long."""
        job = self._jobs.get(running.job)
        if running.child.poll() is not None:
            _close(running.child)
            self._settle(job, counted=not job.cancelling, late=running.late)
            self._running.remove(running)
            return
        now = time.monotonic()
        if running.told is None:
            running.late = now - running.began > self._settings.hours * 3600
            if running.late or job.cancelling:
                running.told = now
                running.child.send_signal(signal.SIGTERM)
        elif now - running.told > _GRACE:
            running.child.kill()

    def _settle(self, job: Job, *, counted: bool, late: bool = False) -> None:
        """Says what came of a job whose process has ended, where it has not said so itself."""
        if job.ended_already:
            return
        written = found(self._registry, job)
        if written is not None:
            self._jobs.end(job.id, "done", result=written)
        elif job.cancelling:
            self._jobs.end(job.id, "cancelled")
        elif late:
            detail = f"it took more than {self._settings.hours:g} hours and was ended"
            self._fail(job, "TooLong", detail)
        elif not self._jobs.put_back(job.id, counted=counted):
            detail = "its process has died several times: too little memory, or a crash"
            self._fail(job, "Crashed", detail)

    def _fail(self, job: Job, kind: str, detail: str) -> None:
        problem = Problem(status=422, kind=kind, detail=detail)
        self._jobs.end(job.id, "failed", problem=problem.to_dict())

    def _clear(self, job: Job) -> None:
        """Removes the files of a job that has ended, but the one that a model is loaded from."""
        shutil.rmtree(self._store.private(job.id), ignore_errors=True)
        files = self._store.files(job.files)
        if not self._is_registered(job, files):
            shutil.rmtree(files, ignore_errors=True)
        self._jobs.clear(job.id)

    def _is_registered(self, job: Job, files: Path) -> bool:
        """Whether a registered model lies in the folder of a job."""
        if job.kind != "register" or job.result is None:
            return False
        try:
            path = self._registry.model(str(job.result["model"])).file_path
        except UnknownModel:
            return False
        return path is not None and Path(path).parent.resolve() == files.resolve()


def _locked(folder: Path) -> int:
    """Takes the lock of a folder, waiting for processes that are about to end.

    Returns:
        The descriptor that holds it, and whoever inherits it.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError:
            if time.monotonic() > until:
                os.close(lock)
                raise EnvironmentFailure(
                    f"{clean(folder)}: another fp serve has this folder; end it, or give another "
                    "--folder"
                ) from None
            time.sleep(_TICK)


def _close(child: subprocess.Popen[Any]) -> None:
    """Tells a process to end."""
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()


def _wait_for(child: subprocess.Popen[Any]) -> None:
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
