"""A file that is code as a suspect: TorchScript, or a program of ``torch.export`` (``.pt2``).

::

    suspect = load_program("model.pt2", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    suspect.facts()["sandbox"]          # what held it down
    verify(suspect, fingerprints)

Loading such a file runs it, which happens in a process in a sandbox or not at all. It names no
weights: what its process says of them could be anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from fingerprint.errors import EnvironmentFailure, UnsafeFile
from fingerprint.formats.naming import naming
from fingerprint.programs.process import ProgramProcess
from fingerprint.suspects.graph import GraphSuspect
from fingerprint.suspects.onnx_inputs import Channels, Layout

__all__ = ["ProgramSuspect", "load_program"]

_PICTURE = 3


class ProgramSuspect(GraphSuspect):
    """Answers with a file that is code."""

    label = "program"
    network: ProgramProcess


def load_program(
    path: str | os.PathLike[str],
    *,
    input_size: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bounds: Sequence[float] | None = None,
    layout: Layout | None = None,
    channels: Channels | None = None,
    input: str | None = None,
    output: str | int | None = None,
    sandbox: bool = True,
) -> ProgramSuspect:
    """Runs a file that is code and finds out how to ask it.

    Args:
        path: The file.
        input_size: Shape of one input; see :meth:`GraphSuspect.of`, as for those up to ``output``.
            TorchScript does not say it.
        mean: Per-channel mean.
        std: Per-channel deviation.
        bounds: Smallest and largest input value.
        layout: Where the network wants the channels.
        channels: In which order.
        input: Name of the input, of which there is one.
        output: Name or number of the output to answer with.
        sandbox: False to run it without a sandbox, with all rights of whoever calls.

    Raises:
        UsageError: An option is wrong or has to be given, or there is no such file.
        UnsafeFile: There is no sandbox on this machine, or it died of a limit.
        InputRefused: The file is not accepted, or cannot be asked.
        EnvironmentFailure: The file may not be read.
    """
    network = ProgramProcess(
        os.fsdecode(path),
        threads=torch.get_num_threads(),
        dimensions=_PICTURE if input_size is None else len(input_size),
        sandbox=sandbox,
    )
    with naming(network.file.path):
        try:
            suspect = ProgramSuspect.of(
                network,
                input_size=input_size,
                mean=mean,
                std=std,
                bounds=bounds,
                layout=layout,
                channels=channels,
                input=input,
                output=output,
            )
        except EnvironmentFailure as error:
            raise UnsafeFile(f"running it failed: {error}") from error
    if not sandbox:
        line = "its code ran without a sandbox and could do whatever you can"
        suspect.warnings = (*suspect.warnings, line)
    return suspect
