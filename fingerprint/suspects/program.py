"""A file that is run elsewhere as a suspect: code, or the network of another library.

::

    suspect = load_program("model.pt2", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    suspect.facts()["sandbox"]          # what held it down
    verify(suspect, fingerprints)

Loading such a file may run what it brings, and what reads it is native code; this happens in a
process in a sandbox or not at all. It names no weights: what its process says of them could be
anything.
"""

from __future__ import annotations

import os
from typing import Unpack

import torch

from fingerprint.errors import EnvironmentFailure, UnsafeFile
from fingerprint.formats.naming import naming
from fingerprint.programs.process import ProgramProcess
from fingerprint.sandbox.process import TIME_LIMIT
from fingerprint.suspects.graph import GraphSuspect, PortOptions

__all__ = ["ProgramSuspect", "load_program"]

_PICTURE = 3


class ProgramSuspect(GraphSuspect):
    """Answers with a file that is code."""

    label = "program"
    network: ProgramProcess


def load_program(
    path: str | os.PathLike[str],
    *,
    sandbox: bool = True,
    time_limit: float | None = TIME_LIMIT,
    **options: Unpack[PortOptions],
) -> ProgramSuspect:
    """Runs a file that is code and finds out how to ask it.

    Args:
        path: The file.
        sandbox: False to run it without a sandbox, with all rights of whoever calls.
        time_limit: How many seconds it may take for all it is asked; None for no limit.
        **options: See :class:`PortOptions`; TorchScript does not say the size of its input.

    Raises:
        UsageError: An option is wrong or has to be given, or there is no such file.
        UnsafeFile: There is no sandbox on this machine, or it died of a limit.
        InputRefused: The file is not accepted, or cannot be asked.
        EnvironmentFailure: The file may not be read, or what runs it is not installed.
    """
    size = options.get("input_size")
    network = ProgramProcess(
        os.fsdecode(path),
        threads=torch.get_num_threads(),
        dimensions=_PICTURE if size is None else len(size),
        sandbox=sandbox,
        time_limit=time_limit,
    )
    with naming(network.file.path):
        try:
            suspect = ProgramSuspect.of(network, **options)
        except EnvironmentFailure as error:
            raise UnsafeFile(f"running it failed: {error}") from error
    if not sandbox:
        line = "its code ran without a sandbox and could do whatever you can"
        suspect.warnings = (*suspect.warnings, line)
    return suspect
