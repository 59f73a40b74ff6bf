"""Servers that others wrote, run in process groups of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

__all__ = ["INTERPRETER", "running"]

INTERPRETER = os.environ.get("FP_TEST_SERVERS", "")
"""Of an environment that has the servers; empty where there is none."""


@contextmanager
def running(
    command: Callable[[int], Sequence[str]],
    folder: Path,
    environment: Mapping[str, str],
    *,
    within: float,
) -> Iterator[str]:
    """Runs a server until the block ends, and says where it is.

    Args:
        command: The line that starts it at a port of this machine.
        folder: Where it runs and its log is kept.
        environment: All of its variables.
        within: Seconds that it may take to listen.
    """
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command(port),
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        _await(port, process, folder / "log", within)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes], log: Path, within: float) -> None:
    """Waits until somebody listens."""
    end = time.monotonic() + within
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
            return
        time.sleep(0.1)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
