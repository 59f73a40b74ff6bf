"""What a process in a sandbox would do, if it could: ``python -m tests.support.hostile``.

Each request is an attempt; it is answered with what came of it, or with the error that ended it.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fingerprint.sandbox.serving import serve

__all__ = ["ATTEMPTS"]


def _truncate(path: str, pid: int) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))


def _map(path: str, pid: int) -> None:
    with open(path, "rb") as stream:
        mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_WRITE)[:1] = b"x"


def _send(path: str, pid: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", 9))


def _fork(path: str, pid: int) -> None:
    if os.fork() == 0:
        os._exit(0)


def _clone(path: str, pid: int) -> None:
    """Makes a process by the newer system call, past the C library's own functions."""
    arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, signal.SIGCHLD)
    made = ctypes.CDLL(None, use_errno=True).syscall(435, arguments, ctypes.c_size_t(88))
    if made == 0:
        os._exit(0)
    if made < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _more_memory(path: str, pid: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


ATTEMPTS: dict[str, Callable[[str, int], Any]] = {
    "writes": lambda path, pid: Path(path).write_bytes(b""),
    "appends": lambda path, pid: os.open(path, os.O_WRONLY | os.O_APPEND),
    "writes anew": lambda path, pid: os.open(f"{path}.new", os.O_CREAT | os.O_EXCL),
    "truncates": _truncate,
    "maps for writing": _map,
    "removes": lambda path, pid: os.remove(path),
    "renames": lambda path, pid: os.rename(path, f"{path}.new"),
    "links": lambda path, pid: os.link(path, f"{path}.new"),
    "links by name": lambda path, pid: os.symlink(path, f"{path}.new"),
    "makes a folder": lambda path, pid: os.mkdir(f"{path}.new"),
    "changes a mode": lambda path, pid: os.chmod(path, 0o777),
    "changes a time": lambda path, pid: os.utime(path, (0, 0)),
    "changes an attribute": lambda path, pid: os.setxattr(path, "user.x", b"x"),
    "reads what is the user's": lambda path, pid: Path(path).read_bytes(),
    "lists what is the user's": lambda path, pid: os.listdir(os.path.dirname(path)),
    "reads another's environment": lambda path, pid: Path(f"/proc/{pid}/environ").read_bytes(),
    "connects": lambda path, pid: socket.create_connection(("127.0.0.1", 9)),
    "sends": _send,
    "opens a local socket": lambda path, pid: socket.socket(socket.AF_UNIX),
    "makes a pair of sockets": lambda path, pid: socket.socketpair(),
    "listens": lambda path, pid: socket.create_server(("127.0.0.1", 0)),
    "forks": _fork,
    "clones": _clone,
    "starts a program": lambda path, pid: subprocess.run([sys.executable, "-c", ""], check=True),
    "becomes a program": lambda path, pid: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "signals another": lambda path, pid: os.kill(pid, 0),
    "signals its group": lambda path, pid: os.kill(0, 0),
    "takes more memory": _more_memory,
    "leaves its session": lambda path, pid: os.setsid(),
}


class _Hostile:
    def __init__(self, threads: int) -> None:
        pass

    def attempt(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            ATTEMPTS[header["what"]](header["path"], header["pid"])
        except OSError as error:
            return {"errno": error.errno}, b""
        except ValueError:  # how the module of limits says that it may not
            return {"errno": errno.EPERM}, b""
        return {"errno": None}, b""

    def environment(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        return {"names": sorted(os.environ)}, b""

    def computes(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        import numpy as np

        found = []
        sums = threading.Thread(target=lambda: found.append(int(np.ones(1000).sum())))
        sums.start()
        sums.join()
        return {"sum": found[0]}, b""

    def fills(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        kept = [bytearray(2**26) for _ in range(2**10)]
        return {"kept": len(kept)}, b""

    def sleeps(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1e6)
        return {}, b""

    def spins(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        while True:
            pass

    def ends(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        os._exit(3)

    def aborts(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        os.abort()

    def lies(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        return {"error": "SystemExit", "said": "\x1b[2J\n" + "x" * 10_000}, b""

    def ask(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        return {"shape": header["sent"]}, bytes(header["bytes"])


if __name__ == "__main__":
    serve(_Hostile)
