"""This side of a process in a sandbox: asks it, ends it at a limit, and says how it died.

::

    process = Confined("fingerprint.graphs.child", runs="ONNX Runtime", backend=chosen(...))
    reply, payload = process.request({"request": "ask", ...}, data, most=4 * values)
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import threading
import time
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import (
    EnvironmentFailure,
    IncompatibleModel,
    InputRefused,
    MalformedFile,
    UnsafeFile,
)
from fingerprint.sandbox.backends import Backend, Child, close
from fingerprint.sandbox.rows import MAX_VALUES
from fingerprint.sandbox.wire import receive, send
from fingerprint.text import clean

__all__ = ["TIME_LIMIT", "Confined"]

_MEMORY = 16 * 2**30
"""Most memory the process may take; what the machine has, where that is less."""

_LEAST_MEMORY = 4 * 2**30
_SECONDS = 600.0
"""Longest time for one request; a large network answers 16 pictures in a few seconds."""

TIME_LIMIT = 7200.0
"""Longest time for all requests of one verification, in seconds: a file that takes a little less
than the limit of each would otherwise keep whoever asks it for days."""

_SAID = 600
_REFUSALS = (MalformedFile, UnsafeFile, IncompatibleModel)


class Confined:
    """One process that runs a module of ours on what a stranger wrote.

    Args:
        module: Ends in :func:`fingerprint.sandbox.serving.serve`.
        runs: What it runs, for messages.
        backend: How it is held down.
        threads: How many may compute.
        memory: How many bytes it may take beyond its libraries; by default 16 GiB, or what the
            machine has.
        time_limit: How many seconds it may take for all requests together; None for no limit.

    Attributes:
        backend: How it is held down.
        seconds: How long it may take for one request before it is ended.
        time_limit: How long for all of them; None for no limit.

    Raises:
        EnvironmentFailure: It cannot be started.
    """

    def __init__(
        self,
        module: str,
        *,
        runs: str,
        backend: Backend,
        threads: int,
        memory: int | None = None,
        time_limit: float | None = None,
    ) -> None:
        self.backend, self.seconds = backend, _SECONDS
        self.time_limit, self._spent, self._late = time_limit, 0.0, False
        self._runs, self._ended = runs, ""
        arguments = ["-m", module, backend.kept, str(memory or _memory()), str(threads)]
        try:
            self._child = backend.start(arguments)
        except OSError as error:
            raise EnvironmentFailure(f"the process for {runs} does not start: {error}") from error
        self.close = weakref.finalize(self, _close, self._child)

    def kill(self) -> None:
        """Ends it; whoever asks it from then on is told so."""
        self._child.kill()

    def request(
        self, header: dict[str, Any], *payload: bytes | memoryview, most: int = 0
    ) -> tuple[dict[str, Any], bytes]:
        """Asks for something.

        Args:
            header: What, as plain JSON values.
            *payload: What goes with it.
            most: How many bytes may come back.

        Returns:
            A header and a payload. Whoever runs there may have written both.

        Raises:
            InputRefused: It does not take what it was given.
            EnvironmentFailure: It ended, or was ended at a limit.
        """
        if not self._ended and (self._late or not self._left):  # ended just after it had answered
            self._expire()
            self._ended = self._death()
        if self._ended:
            raise EnvironmentFailure(self._ended)
        begun = time.monotonic()
        watch = threading.Timer(min(self.seconds, self._left), self._expire)
        watch.start()
        try:
            send(self._child.stdin, header, *payload)
            reply, data = receive(self._child.stdout, most=most)
        except (EOFError, OSError, ValueError) as error:
            self._ended = self._death()
            raise EnvironmentFailure(self._ended) from error
        finally:
            watch.cancel()
            self._spent += time.monotonic() - begun
        if "error" in reply:
            kinds = {kind.__name__: kind for kind in _REFUSALS}
            refusal = kinds.get(str(reply["error"]), InputRefused)
            raise refusal(clean(reply.get("said", ""), _SAID))
        return reply, data

    def ask(self, header: dict[str, Any], values: NDArray[Any]) -> NDArray[np.float32]:
        """Asks for answers to a batch: ``(N, ...)`` -> ``(N, values)``.

        Args:
            header: What to ask of it.
            values: The batch.

        Raises:
            InputRefused: It does not take the batch, or its answers are no numbers.
            EnvironmentFailure: It ended, or sent something else than answers.
        """
        count = len(values)
        reply, data = self.request(
            {"request": "ask", "dtype": values.dtype.str, "shape": values.shape, **header},
            np.ascontiguousarray(values).data.cast("B"),
            most=count * MAX_VALUES * 4,
        )
        width, rest = divmod(len(data), 4 * count)
        if reply.get("shape") != [count, width] or rest or not width:
            raise EnvironmentFailure("its process sent something else than answers")
        return np.frombuffer(data, np.float32).reshape(count, -1).copy()

    @property
    def _left(self) -> float:
        """How many seconds it still may take."""
        return math.inf if self.time_limit is None else max(0.0, self.time_limit - self._spent)

    def _expire(self) -> None:
        self._late = True
        self._child.kill()

    def _death(self) -> str:
        """Says how the process ended, and sees to it that it did."""
        if self._late and self._left < self.seconds:
            return (
                f"{self._runs} took more than {self.time_limit:g} s for all it was asked and was "
                "ended; give it more with --time-limit"
            )
        if self._late:
            return f"{self._runs} took more than {self.seconds:g} s and was ended"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(1.0)
        self._child.kill()
        code = self._child.wait()
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        return f"the process of {self._runs} ended {how} (too little memory, or a crash)"


def _memory() -> int:
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not known on this system
        return _MEMORY
    return max(_LEAST_MEMORY, min(_MEMORY, there))


def _close(child: Child) -> None:
    child.kill()
    child.wait()
    close(child)
