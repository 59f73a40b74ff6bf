"""The one place where errors become a line on stderr and an exit code.

| code | meaning |
| --- | --- |
| 0 | answered, and every policy holds |
| 1 | a policy (``--expect``, ``--forbid``) failed |
| 2 | usage |
| 3 | input refused: unsafe, malformed, incompatible |
| 4 | inconclusive |
| 5 | environment: registry, disk, permission, memory, endpoint |
| 70 | a defect of this program |
| 130, 143 | Ctrl-C, SIGTERM |
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from cli import output, process

__all__ = ["ExitCode", "FpGroup", "exit_code", "report"]


class ExitCode(IntEnum):
    """What the caller of ``fp`` is told by its exit code."""

    OK = 0
    POLICY_FAILED = 1
    USAGE = 2
    REFUSED = 3
    INCONCLUSIVE = 4
    ENVIRONMENT = 5
    DEFECT = 70
    INTERRUPTED = process.INTERRUPTED
    TERMINATED = process.TERMINATED


_BRANCHES = (
    ("UsageError", ExitCode.USAGE),
    ("InputRefused", ExitCode.REFUSED),
    ("NoEvidence", ExitCode.INCONCLUSIVE),
    ("EnvironmentFailure", ExitCode.ENVIRONMENT),
)


def exit_code(error: BaseException) -> ExitCode:
    """Maps an error to its exit code; what nobody raised on purpose is a defect."""
    # Looked up, not imported: importing the library costs seconds, and an error of its tree
    # can only have been raised when it has been imported already.
    tree = sys.modules.get("fingerprint.errors")
    for name, code in _BRANCHES:
        if tree is not None and isinstance(error, getattr(tree, name)):
            return code
    if isinstance(error, typer.TyperException):
        return ExitCode.USAGE
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return ExitCode.INTERRUPTED
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if out_of_memory or isinstance(error, OSError):
        return ExitCode.ENVIRONMENT
    return ExitCode.DEFECT


def _line(error: BaseException) -> str:
    """Returns the sentence for an error."""
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        hint = f" (see '{context.command_path} --help')" if context is not None else ""
        return error.format_message().rstrip() + hint
    code = exit_code(error)
    if code is ExitCode.DEFECT:
        return (
            f"unexpected {type(error).__name__}: {error}; "
            "set FP_DEBUG=1 for the traceback and report it as a defect"
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"not enough memory: {str(error).splitlines()[0] if str(error) else 'allocation'}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return str(error) or type(error).__name__


def report(error: BaseException) -> ExitCode:
    """Writes the line for an error to stderr and returns the exit code."""
    code = exit_code(error)
    if process.debugging():
        traceback.print_exception(error, file=sys.stderr)
    if code is not ExitCode.INTERRUPTED:
        output.error(_line(error))
    return code


class FpGroup(TyperGroup):
    """The command group whose every way out is an exit code and at most one line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command line; the signature is the framework's."""
        try:
            result = super().main(
                args=args,
                prog_name=prog_name,
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except (Exception, KeyboardInterrupt) as error:
            result = report(error)
        if not standalone_mode:
            return result
        sys.exit(int(result) if isinstance(result, int) else ExitCode.OK)
