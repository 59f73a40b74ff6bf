"""What can go wrong, in one tree. The command line maps each branch to an exit code.

::

    FingerprintError
    ├── UsageError                 the call itself is wrong                      (exit 2)
    ├── InputRefused               a file or model that is not accepted          (exit 3)
    │   ├── UnsafeFile             loading it would run code or exhaust memory
    │   ├── MalformedFile          truncated, corrupt, not what it says it is
    │   ├── IncompatibleModel      does not fit the architecture, input or output
    │   ├── UnknownArchitecture    no architecture given and none recognised
    │   └── NoInformation          dead, constant or non-finite network
    ├── NoEvidence                 answered, but nothing can be concluded        (exit 4)
    │   └── AmbiguousArchitecture  several functions fit the same weights
    └── EnvironmentFailure         permission, disk, registry, endpoint          (exit 5)

A verdict that does not match is a value, never an exception. Messages are one line: what was
expected, what came, and the way out.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousArchitecture",
    "EnvironmentFailure",
    "FingerprintError",
    "IncompatibleModel",
    "InputRefused",
    "MalformedFile",
    "NoEvidence",
    "NoInformation",
    "UnknownArchitecture",
    "UnsafeFile",
    "UsageError",
    "ends_by_signal",
    "lacks_memory",
]

_SIGNALS = 128
_NO_MEMORY = ("bad_alloc", "can't allocate memory", "not enough memory", "to allocate memory")
"""How libraries that have no error of their own for it say that there is no memory."""


class FingerprintError(Exception):
    """Root of every error this library raises on purpose."""


class UsageError(FingerprintError, ValueError):
    """The call is wrong: an option that does not parse, a value out of range."""


class InputRefused(FingerprintError):
    """A file or model that is not accepted as input."""


class UnsafeFile(InputRefused):
    """Loading the file would run code, follow links out of it, or exhaust memory or disk."""


class MalformedFile(InputRefused):
    """The file is truncated, corrupt, or not the format it claims to be."""


class IncompatibleModel(InputRefused):
    """The weights, input or output do not fit what was asked for."""


class UnknownArchitecture(InputRefused):
    """No architecture was given and none could be recognised from the weights."""


class NoInformation(InputRefused):
    """The network's answers carry no information: constant, dead, or not finite."""


class NoEvidence(FingerprintError):
    """The question was understood and tried, but nothing can be concluded."""


class AmbiguousArchitecture(NoEvidence):
    """Several architectures fit the weights and compute different functions.

    Attributes:
        candidates: The names that fit, each usable as ``--arch timm:NAME``.
    """

    def __init__(self, message: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.candidates = candidates


class EnvironmentFailure(FingerprintError):
    """Something outside the input failed: permission, disk, registry, endpoint."""


def ends_by_signal(error: SystemExit) -> bool:
    """Whether the program ends by a signal, whose exit code is above 128, and not by itself.

    A user's code may run inside this program. If that exits with a lower code, it would be taken
    for this program's own: a verdict that passed, or a policy that failed.
    """
    return isinstance(error.code, int) and error.code > _SIGNALS


def lacks_memory(error: BaseException) -> bool:
    """Whether there was no memory for something, whatever the library calls it that needed it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(word in str(error) for word in _NO_MEMORY)
