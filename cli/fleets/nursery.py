"""A process that has imported everything once and runs each command in a copy of itself.

It is asked through stdin, one command at a time, and answers through stdout. Whatever a model does
to the copy (ends it, fills its memory, never comes back) is an answer as well. When whoever asks is
gone, the copy goes too.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import IO, Any

from cli import process
from cli.errors import ExitCode
from fingerprint.sandbox.wire import receive, send

__all__ = ["LONGEST_DOCUMENT", "main", "sees"]

_IMPORTED = (
    "torch",
    "timm",
    "cli.main",
    "cli.render",
    "fingerprint.probes.extraction",
    "fingerprint.verifying",
    "registry",
)
"""What takes seconds to import and every model needs."""

LONGEST_DOCUMENT = 2**26
_LONGEST_MESSAGES = 2**16


def main() -> None:
    """Answers until there is nobody to answer."""
    # What a library prints must not get between the messages.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for module in _IMPORTED:
        importlib.import_module(module)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            job, _ = receive(sys.stdin.buffer, most=0)
            send(answers, *_ended(job))


def _ended(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Runs one command in a copy of this process; returns how it ended and what it wrote.

    Raises:
        EOFError: Whoever asked is gone, and the copy was ended.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        copy = get_context("fork").Process(target=_run, args=(job, out, err))
        copy.start()
        # Nothing is sent while a command runs: stdin is only ready when it is closed.
        ready = wait([copy.sentinel, sys.stdin.fileno()], timeout=job["seconds"])
        late = copy.sentinel not in ready
        if late:
            _end(copy)
        copy.join()
        if late and ready:
            raise EOFError
        header = {
            "code": None if late else copy.exitcode,
            "err": _read(err, _LONGEST_MESSAGES, end=True).decode("utf-8", "replace"),
            "seconds": time.monotonic() - began,
        }
        return header, _read(out, LONGEST_DOCUMENT)


def _end(copy: BaseProcess) -> None:
    """Ends the copy, and what it started: each has a process group of its own."""
    assert copy.pid is not None
    with contextlib.suppress(OSError):
        os.killpg(copy.pid, signal.SIGKILL)
    copy.kill()


def _read(file: IO[bytes], most: int, *, end: bool = False) -> bytes:
    """Returns the beginning of what was written, or its end."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - most) if end else 0)
    return file.read(most)


def _run(job: dict[str, Any], out: IO[bytes], err: IO[bytes]) -> None:
    """Is the copy: runs the command as if it had been typed."""
    os.setsid()
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    process.first_to_go()
    with contextlib.suppress(OSError):  # elsewhere there is none, and nothing relative to it
        os.chdir(job["folder"])
    if job["registry"] is not None:
        os.environ["FP_REGISTRY"] = job["registry"]
    sys.argv = ["fp", *job["line"]]
    from cli.__main__ import main

    sys.exit(main() if sees(job["origin"]) else ExitCode.ENVIRONMENT)


def sees(origin: str | None) -> bool:
    """Whether this machine has the registry that is meant; one is never made here."""
    if origin is None:
        return True
    from cli import output
    from fingerprint.errors import FingerprintError
    from registry import Registry
    from registry.engine import locate
    from registry.ledger import origin as origin_of

    said = "expected the registry of whoever asks, as a file here or by FP_REGISTRY"
    try:
        path = locate(os.environ.get("FP_REGISTRY")).path
        if path is not None and not path.is_file():
            output.error(f"registry on this worker: {said}, found none at {path}")
            return False
        with Registry(os.environ.get("FP_REGISTRY")) as opened:
            same = origin_of(opened.seed).digest == origin
    except FingerprintError as error:
        output.error(f"registry on this worker: {error}")
        return False
    if not same:
        output.error(f"registry on this worker: {said}, found another one")
    return same


if __name__ == "__main__":
    main()
