"""What the process owes its surroundings: signals, streams and warnings.

process.prepare()              # before any work
with process.stdout_kept():    # what anybody prints goes to stderr
    process.document()         # except here
process.finish()               # whatever happened
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType
from typing import TextIO

__all__ = ["INTERRUPTED", "TERMINATED", "debugging", "document", "drop", "finish", "first_to_go"]
__all__ += ["prepare", "stdout_kept"]

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


def first_to_go() -> None:
    """Makes the system end this process, not one that serves others, when memory runs out."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _open_closed_streams() -> None:
    """Gives a stream that was closed before the start (``>&-``) a way to nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


_kept: ContextVar[TextIO | None] = ContextVar("_kept", default=None)


def document() -> TextIO:
    """Returns the stream that a command's result is written to."""
    return _kept.get() or sys.stdout


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Keeps stdout for :func:`document`; what else is written there goes to stderr.

    A network's own code may print, and so may what it calls: Python's stream and the file
    descriptor below it, which libraries in C and other programs write to, are both redirected.
    """
    out = sys.stdout
    stream, restore = _below(out)
    token = _kept.set(stream)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = out
        _kept.reset(token)
        restore()


def _below(out: TextIO) -> tuple[TextIO, Callable[[], None]]:
    """Moves stdout's descriptor elsewhere and puts stderr's in its place, if both are real."""
    try:
        number = out.fileno()
        out.flush()
        kept = os.dup(number)
        os.dup2(sys.stderr.fileno(), number)
    except (OSError, ValueError):
        # Streams of a test or of an embedding program, or closed ones: nothing lies below.
        return out, lambda: None
    stream = open(kept, "w", encoding=out.encoding, errors=out.errors)  # noqa: SIM115

    def restore() -> None:
        try:
            stream.flush()
        except OSError:
            drop(stream)
        os.dup2(kept, number)
        stream.close()

    return stream, restore


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
