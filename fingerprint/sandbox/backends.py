"""The ways to hold a process down, and which of them this machine has.

::

    backend = chosen(required=True)       # the first that was tried and held
    child = backend.start([...])          # arguments of Python
    backend.name                          # for the report

In each of them the process also refuses itself every system call that arithmetic does not need;
they differ by what keeps files away. A backend counts only when a process was started in it that
could not do what it must not, see :mod:`fingerprint.sandbox.trial`.
"""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fingerprint.errors import UnsafeFile
from fingerprint.sandbox.confinement import LANDLOCK, NONE
from fingerprint.sandbox.readable import ROOT, readable
from fingerprint.text import clean, first_line

__all__ = ["BACKENDS", "HOLDS", "UNCONFINED", "Backend", "Child", "chosen", "trouble"]

HOLDS = "holds"
"""What a process on trial says if it is held."""

_TRIAL_SECONDS = 60.0
_SAID = 200


class Child(Protocol):
    """A process that was started, with a pipe at each end."""

    stdin: Any
    stdout: Any

    def kill(self) -> None:
        """Ends it at once; nothing happens where it is gone."""

    def wait(self, timeout: float | None = None) -> int:
        """Returns its exit code, or the number of the signal that ended it, negative.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One way.

    Attributes:
        name: What a report calls it.
        kept: How the process is told that its files are kept away.
        start: Starts Python with some arguments; raises OSError where that fails.
    """

    name: str
    kept: str
    start: Callable[[Sequence[str]], Child]


class _Sandlocked:
    """A process that sandlock started, spoken to like any other."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.stdin = io.BufferedWriter(process.stdin)
        self.stdout = io.BufferedReader(process.stdout)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        result = self._process.wait(timeout)  # ends it at the timeout
        return int(result.exit_code if result.exit_code >= 0 else -9)


def _by_sandlock(arguments: Sequence[str]) -> Child:
    try:
        import sandlock
        from sandlock.sandbox import StdioMode
    except ImportError as error:
        raise OSError("not installed") from error
    try:
        confined = sandlock.Sandbox(
            fs_readable=[*readable(), "/proc/self"],
            clean_env=True,
            env=_environment(),
            no_coredump=True,
        )
        process = confined.popen(
            _python(arguments), stdin=StdioMode.PIPED, stdout=StdioMode.PIPED, stderr=StdioMode.NULL
        )
    except Exception as error:
        # It has errors of its own, and another release may be called otherwise: then it is no use.
        raise OSError(f"does not start: {first_line(error)}") from error
    return _Sandlocked(process)


def _by_landlock(arguments: Sequence[str]) -> Child:
    return _started(_python(arguments), _environment())


def _by_namespaces(arguments: Sequence[str]) -> Child:
    wrapper = shutil.which("bwrap")
    if wrapper is None:
        raise OSError("not installed")
    shown = [part for path in readable() if not path.startswith(("/proc", "/dev"))
             for part in ("--ro-bind", path, path)]  # fmt: skip
    held = ("--unshare-all", "--die-with-parent", "--new-session", "--chdir", "/")
    return _started(
        [wrapper, *held, *shown, "--proc", "/proc", "--dev", "/dev", *_python(arguments)],
        _environment(),
    )


def _unconfined(arguments: Sequence[str]) -> Child:
    known = os.environ.get("PYTHONPATH")
    paths = os.pathsep.join([ROOT, known] if known else [ROOT])
    return _started(_python(arguments), {**os.environ, "PYTHONPATH": paths})


BACKENDS = (
    Backend(name="sandlock and seccomp", kept="sandlock", start=_by_sandlock),
    Backend(name="Landlock and seccomp", kept=LANDLOCK, start=_by_landlock),
    Backend(name="namespaces and seccomp", kept="namespaces", start=_by_namespaces),
)
"""Those that hold, the one to be preferred first."""

UNCONFINED = Backend(name="none", kept=NONE, start=_unconfined)
"""A process with a limit of memory, and all rights of whoever started it."""


def chosen(*, required: bool, wanted: bool = True) -> Backend:
    """Returns how a process is to be held down on this machine.

    Args:
        required: Whether nothing may run without.
        wanted: Whether it is to be held down at all.

    Raises:
        UnsafeFile: It is required, and no backend holds here.
    """
    if not wanted:
        return UNCONFINED
    troubles = {}
    for backend in BACKENDS:
        troubles[backend.name] = trouble(backend)
        if not troubles[backend.name]:
            return backend
    if not required:
        return UNCONFINED
    said = "; ".join(f"{name}: {reason}" for name, reason in troubles.items())
    raise UnsafeFile(
        f"expected a sandbox to run its code in, and none holds on this machine ({said}); verify "
        "it on a Linux machine, or with --no-sandbox, which lets the file do whatever you may do"
    )


@functools.cache
def trouble(backend: Backend) -> str:
    """Returns why a backend does not hold on this machine, one line; empty if it does."""
    if sys.platform != "linux":
        return "needs Linux"
    try:
        child = backend.start(["-m", "fingerprint.sandbox.trial", backend.kept])
    except OSError as error:
        return first_line(error)
    watch = threading.Timer(_TRIAL_SECONDS, child.kill)
    watch.start()
    try:
        said = clean(child.stdout.read(_SAID).decode(errors="replace"), _SAID)
    finally:
        watch.cancel()
        child.kill()
        code = child.wait()
        close(child)
    if said == HOLDS:
        return ""
    return said or f"a process in it ends with {code}"


def close(child: Child) -> None:
    """Closes this side of a process's pipes."""
    for stream in (child.stdin, child.stdout):
        try:
            stream.close()
        except OSError:  # what it did not read is lost
            continue


def _python(arguments: Sequence[str]) -> list[str]:
    """Returns a command that imports nothing from the folder it is started in."""
    return [sys.executable, "-P", "-B", *arguments]


def _started(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
        start_new_session=True,  # Ctrl-C is for this process, which ends the other
    )


def _environment() -> dict[str, str]:
    """Returns the variables that Python and its packages need: no tokens, and no programs."""
    kept = {
        name: os.environ[name]
        for name in ("LD_LIBRARY_PATH", "LANG", "LC_ALL", "PYTHONHOME", "VIRTUAL_ENV")
        if name in os.environ
    }
    known = os.environ.get("PYTHONPATH")
    paths = os.pathsep.join([ROOT, known] if known else [ROOT])
    return {**kept, "PYTHONPATH": paths, "PATH": "/nowhere", "HOME": "/nowhere"}
