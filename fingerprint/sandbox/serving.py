"""The other side of :class:`fingerprint.sandbox.process.Confined`: answers its requests.

::

    if __name__ == "__main__":
        serve(Served)       # an object of it has a method for each request
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from fingerprint.errors import FingerprintError, UnsafeFile, lacks_memory
from fingerprint.sandbox.confinement import give_up, keep_to_packages
from fingerprint.sandbox.wire import receive, send
from fingerprint.text import first_line

__all__ = ["serve"]

_UNLIMITED = 2**40


def serve(make: Callable[[int], object]) -> None:
    """Holds this process down and answers requests until there are no more.

    Its arguments are how files are kept away, how many bytes it may take, and how many threads may
    compute.

    Args:
        make: Gets the number of threads and makes what answers: a request of some name is for the
            method of that name, which gets its header and payload and returns a header and a
            payload. Whatever is going to run is to be imported here, while it still may.
    """
    kept, memory, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    keep_to_packages(kept)
    # What a library prints must not get between the messages.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    served = make(threads)
    give_up(kept, memory)
    while True:
        try:
            header, payload = receive(sys.stdin.buffer, most=_UNLIMITED)
        except EOFError:
            return
        _answer(served, answers, header, payload, memory)


def _answer(
    served: object, answers: BinaryIO, header: dict[str, Any], payload: bytes, memory: int
) -> None:
    """Answers one request, with an error if need be."""
    rows: bytes | memoryview
    try:
        reply, rows = getattr(served, header["request"])(header, payload)
    except Exception as error:
        # Whatever a library raises is said to whoever asked; this process does not matter.
        if lacks_memory(error):
            error = UnsafeFile(f"it takes more than {memory / 2**30:.0f} GiB of memory")
        known = isinstance(error, FingerprintError)
        kind = type(error).__name__ if known else "MalformedFile"
        said = str(error) if known else f"reading it failed: {first_line(error)}"
        reply, rows = {"error": kind, "said": said}, b""
    send(answers, reply, rows)
