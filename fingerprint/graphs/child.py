"""The process that reads and runs one ONNX graph: ``python -m fingerprint.graphs.child``.

Started by :mod:`fingerprint.graphs.process`, which it talks to by its standard input and output.
It holds itself to a limit of memory before it looks at anything, and ends when its input does.
"""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO

from fingerprint.errors import FingerprintError, UnsafeFile
from fingerprint.graphs.wire import receive, send
from fingerprint.text import first_line

__all__ = ["main"]

_UNLIMITED = 2**40


def main(memory: int, threads: int) -> None:
    """Answers requests until there are no more.

    Args:
        memory: How many bytes it may take.
        threads: How many may compute.
    """
    _limit(memory)
    # What a library prints must not get between the messages.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    served = _Served(threads)
    while True:
        try:
            header, payload = receive(sys.stdin.buffer, most=_UNLIMITED)
        except EOFError:
            return
        _answer(served, answers, header, payload, memory)


def _limit(memory: int) -> None:
    try:
        import resource
    except ImportError:  # no such limits on this system
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


class _Served:
    """The network of this process, as far as it is known."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.model: Any = None
        self.session: Any = None
        self.data = b""

    def read(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        from fingerprint.graphs.reading import external_files, parse

        self.model = parse(payload)
        return {"external": external_files(self.model)}, b""

    def open(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        from fingerprint.graphs.digest import graph_digest
        from fingerprint.graphs.reading import fill, plain
        from fingerprint.graphs.session import Session, facts_of

        files, begin = {}, 0
        for place, size in header["files"]:
            files[place] = payload[begin : begin + size]
            begin += size
        model, self.model = self.model, None
        fill(model, files)
        model = plain(model)
        facts = {"digest": graph_digest(model), **facts_of(model)}
        data = model.SerializeToString()
        del files, payload, model
        self.session = Session(data, threads=self.threads)
        self.data = data if header["keep"] else b""
        return {**facts, **self.session.ports()}, b""

    def content(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        return {}, self.data

    def ask(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        import numpy as np

        values = np.frombuffer(payload, header["dtype"]).reshape(header["shape"])
        rows = self.session.ask(header["input"], values, header["output"])
        return {"shape": rows.shape}, rows.tobytes()


def _answer(
    served: _Served, answers: BinaryIO, header: dict[str, Any], payload: bytes, memory: int
) -> None:
    """Answers one request, with an error if need be."""
    try:
        reply, rows = getattr(served, header["request"])(header, payload)
    except Exception as error:
        # Whatever a library raises is said to whoever asked; this process does not matter.
        if isinstance(error, MemoryError) or "bad_alloc" in str(error):
            error = UnsafeFile(f"it takes more than {memory / 2**30:.0f} GiB of memory")
        known = isinstance(error, FingerprintError)
        kind = type(error).__name__ if known else "MalformedFile"
        said = str(error) if known else f"reading it failed: {first_line(error)}"
        reply, rows = {"error": kind, "said": said}, b""
    send(answers, reply, rows)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
