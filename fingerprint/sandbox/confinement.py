"""What a process gives up before it looks at anything of a stranger's.

::

    keep_to_packages(kept)      # first of all, with one thread
    import onnxruntime          # what is going to run it, which may need more than that
    give_up(kept, memory)       # then the rest, for good

Both raise where the kernel does not do as it is told, and what was given up is tried: a sandbox
that does not hold is none.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable

from fingerprint.sandbox.filter import refuse_other_calls
from fingerprint.sandbox.landlock import restrict_files
from fingerprint.sandbox.readable import readable

__all__ = ["LANDLOCK", "NONE", "give_up", "keep_to_packages"]

LANDLOCK, NONE = "landlock", "none"
"""How files are kept away: by this process itself, or not at all. Other words mean that whoever
started it has done so."""


def keep_to_packages(kept: str) -> None:
    """Gives up reading what is not Python's, and writing.

    Args:
        kept: How files are kept away.

    Raises:
        OSError: The kernel does not do it.
    """
    if kept == NONE:
        return
    # Libraries look for these when they are imported, and fail where they can be neither found nor
    # made; nothing is ever written there.
    tempfile.tempdir = os.environ["TORCHINDUCTOR_CACHE_DIR"] = "/"
    if kept != LANDLOCK:
        return
    restrict_files((*readable(), f"/proc/{os.getpid()}"))
    _must_fail("reads the root folder", lambda: os.listdir("/"))


def give_up(kept: str, memory: int) -> None:
    """Gives up memory beyond a limit, and every system call that arithmetic does not need.

    Args:
        kept: How files are kept away; without a way, only memory is limited.
        memory: How many bytes it may take beyond what it has.

    Raises:
        OSError: The kernel does not do it, or it does not hold.
    """
    _limit(memory)
    if kept == NONE:
        return
    refuse_other_calls()
    _must_fail("opens files for writing", lambda: os.open(os.devnull, os.O_WRONLY))
    _must_fail("opens sockets", socket.socket)
    _must_fail("starts processes", _fork)


def _limit(memory: int) -> None:
    try:
        import resource
    except ImportError:  # no such limits on this system
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _mapped() + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _mapped() -> int:
    """Returns how much this process has, most of which are libraries; 0 where that is not known."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _must_fail(what: str, action: Callable[[], object]) -> None:
    try:
        action()
    except PermissionError:
        return
    raise OSError(f"the sandbox does not hold: a process in it {what}")


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
