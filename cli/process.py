"""What the process owes its surroundings: signals, streams and warnings.

process.prepare()      # before any work
process.finish()       # whatever happened
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from types import FrameType
from typing import TextIO

__all__ = ["INTERRUPTED", "TERMINATED", "debugging", "drop", "finish", "prepare"]

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


def debugging() -> bool:
    """Returns whether ``FP_DEBUG`` asks for tracebacks and for other libraries' warnings."""
    return os.environ.get("FP_DEBUG", "") not in ("", "0")


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    # An exception, not os._exit: temporary files and transactions are to be cleaned up.
    raise SystemExit(TERMINATED)


def prepare() -> None:
    """Installs the SIGTERM handler and makes the streams accept any text."""
    signal.signal(signal.SIGTERM, _terminate)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A name that the locale cannot spell is shown escaped rather than ending the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not debugging() and not sys.warnoptions:
        warnings.simplefilter("ignore")


def _open_closed_streams() -> None:
    """Gives a stream that was closed before the start (``>&-``) a way to nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def drop(stream: TextIO) -> None:
    """Sends what is still written to a stream nowhere, once its reader has gone away."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def finish() -> None:
    """Flushes the streams, so that a reader that went away is not reported at shutdown."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            drop(stream)
