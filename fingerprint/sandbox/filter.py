"""Leaves this process the system calls that arithmetic needs, by libseccomp.

What is not named here is refused: files are opened for reading only, and there are no sockets, no
other processes or programs, no signals to others, no changes of names, times, owners or limits.
A network that reads input from one pipe and writes numbers to another does not notice.
"""

from __future__ import annotations

import ctypes
import errno
import os
from itertools import chain

__all__ = ["refuse_other_calls"]

_LIBRARY = "libseccomp.so.2"
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_ALL_THREADS = 4
_MASKED = 7
_INT = 0xFFFFFFFF
"""Most arguments are of 32 bits, and the kernel does not look at the others either."""
_ANY = 0xFFFFFFFFFFFFFFFF
_TMPFILE = 0o20000000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | _TMPFILE

_CALLS = (
    "read readv pread64 preadv write writev close close_range lseek dup dup2 dup3",
    "fadvise64 readahead",
    "stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2",
    "readlink readlinkat",
    "getdents64 getcwd chdir fchdir",
    "mmap munmap mremap mprotect madvise brk mincore msync membarrier get_mempolicy",
    "exit exit_group rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall",
    "futex futex_waitv set_robust_list get_robust_list rseq set_tid_address arch_prctl sched_yield",
    "nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times getrusage",
    "poll ppoll select pselect6 getrandom uname sysinfo getcpu capget",
    "getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups",
    "getrlimit sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max",
    "sched_get_priority_min getpriority",
)
_IF = (
    ("open", 1, _WRITING, (0,)),
    ("openat", 2, _WRITING, (0,)),
    ("clone", 0, 0x00010000, (0x00010000,)),  # a thread, not a process
    ("prlimit64", 2, _ANY, (0,)),  # asks for a limit, and sets none
    ("sched_setaffinity", 0, _INT, (0,)),  # of this thread
    ("fcntl", 1, _INT, (0, 1, 2, 3, 4, 1030)),  # duplicates and flags; not whom to signal
    ("ioctl", 1, _INT, (0x5401, 0x541B, 0x5450, 0x5451)),  # is it a terminal, how much is there
    ("prctl", 0, _INT, (15, 16, 0x53564D41)),  # names of threads and of memory
)
"""Calls that are allowed if an argument, masked, is one of some values."""


class _Condition(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def refuse_other_calls() -> None:
    """Installs the filter on every thread of this process, for good.

    Raises:
        OSError: libseccomp is not installed, or the kernel does not take the filter.
    """
    library = _library()
    rules = library.seccomp_init(_REFUSE | errno.EPERM)
    if not rules or library.seccomp_attr_set(rules, _ALL_THREADS, 1):
        raise OSError(errno.ENOSYS, f"{_LIBRARY} is too old")
    for name in chain.from_iterable(map(str.split, _CALLS)):
        _add(library, rules, _ALLOW, name)
    # The C library then uses the older call, whose flags can be looked at.
    _add(library, rules, _REFUSE | errno.ENOSYS, "clone3")
    own = ("tgkill", 0, _INT, (os.getpid(),))  # abort() signals itself
    for name, argument, mask, values in (*_IF, own):
        for value in values:
            condition = _Condition(argument, _MASKED, mask, value)
            _add(library, rules, _ALLOW, name, condition)
    failed = library.seccomp_load(rules)
    if failed:
        raise OSError(-failed, f"seccomp: {os.strerror(-failed)}")


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(_LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Condition),
    )
    return library


def _add(
    library: ctypes.CDLL, rules: int, action: int, name: str, condition: _Condition | None = None
) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:  # this architecture or library does not have it, so nobody can call it
        return
    count = 0 if condition is None else 1
    pointer = None if condition is None else ctypes.pointer(condition)
    failed = library.seccomp_rule_add_array(rules, action, number, count, pointer)
    if failed:
        raise OSError(-failed, f"seccomp: {name}: {os.strerror(-failed)}")
