"""What a process in a sandbox may read: Python, its packages, and what libraries ask of a machine.

Nothing of the user's, but for packages that are installed in a folder of theirs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fingerprint import errors

__all__ = ["ROOT", "readable"]

ROOT = str(Path(errors.__file__).parent.parent)
"""Where this package is imported from."""

_SYSTEM = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/etc/ld.so.cache",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm",
    "/sys/devices/system",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
)


def readable() -> tuple[str, ...]:
    """Returns the files and folders that exist, each once.

    Libraries are found by the environment, too: in ``PYTHONPATH`` and ``LD_LIBRARY_PATH``. The
    first entry of ``sys.path`` is left out: it is wherever a script lies, or somebody works.
    """
    stated = [os.environ.get(name, "") for name in ("PYTHONPATH", "LD_LIBRARY_PATH")]
    named = [path for paths in stated for path in paths.split(os.pathsep)]
    every = [ROOT, sys.prefix, sys.base_prefix, *sys.path[1:], *named, *_SYSTEM]
    there = [path for path in every if os.path.isabs(path) and os.path.exists(path)]
    return tuple(dict.fromkeys(there))
