"""Lets this process read some folders, and do nothing else to files: Landlock, by system call.

See landlock(7). What the kernel is too old to restrict is refused by
:mod:`fingerprint.sandbox.filter` in any case; reading is what only Landlock restricts.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

__all__ = ["restrict_files"]

# The numbers of these three are the same on every architecture.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION = 1
_NO_NEW_PRIVILEGES = 38
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = (13, 14, 15, 15)
"""How many rights versions 1 to 4 know; later ones know 16 of those that matter here."""
_NET, _SCOPES = 0b11, 0b11


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def restrict_files(readable: Iterable[str]) -> None:
    """Leaves this process, which must have one thread, nothing but reading below some paths.

    Args:
        readable: Files and folders; those that do not exist are left out.

    Raises:
        OSError: The kernel has no Landlock, or refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: object) -> int:
        result = int(libc.syscall(ctypes.c_long(number), *arguments))
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    version = call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    count = _FILE_RIGHTS[version - 1] if version <= len(_FILE_RIGHTS) else 16
    rules = _Rules((1 << count) - 1, _NET if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    held = call(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    for path in readable:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        folder = stat.S_ISDIR(os.fstat(opened).st_mode)
        below = _Beneath(_READ_FILE | (_READ_DIR if folder else 0), opened)
        call(_ADD, ctypes.c_int(held), ctypes.c_int(1), ctypes.byref(below), ctypes.c_uint32(0))
        os.close(opened)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel does not let privileges be given up")
    call(_RESTRICT, ctypes.c_int(held), ctypes.c_uint32(0))
    os.close(held)
