"""An ONNX file as a suspect: answered by ONNX Runtime, in a process of its own.

::

    suspect = load_onnx("model.onnx", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    suspect.identity.model_digest, suspect.output, suspect.warnings
    verify(suspect, fingerprints)

Needs the extra ``onnx``. Nothing of the file is looked at by this process; see
:mod:`fingerprint.graphs`.
"""

from __future__ import annotations

import os
from typing import Unpack

import torch

from fingerprint.formats.naming import naming
from fingerprint.graphs.process import OnnxProcess
from fingerprint.sandbox.process import TIME_LIMIT
from fingerprint.suspects.graph import GraphSuspect, PortOptions

__all__ = ["OnnxSuspect", "load_onnx"]


class OnnxSuspect(GraphSuspect):
    """Answers with an ONNX graph."""

    label = "onnx"
    network: OnnxProcess


def load_onnx(
    path: str | os.PathLike[str],
    *,
    follow_symlinks: bool = False,
    sandbox: bool = True,
    time_limit: float | None = TIME_LIMIT,
    keep: bool = False,
    **options: Unpack[PortOptions],
) -> OnnxSuspect:
    """Opens an ONNX file and finds out how to ask it.

    Args:
        path: The file; external data lie beside it.
        follow_symlinks: Whether links may lead to external data outside of the file's folder.
        sandbox: Whether ONNX Runtime is held down, where there is a sandbox on this machine.
        time_limit: How many seconds it may take for all it is asked; None for no limit.
        keep: Whether the graph is to be converted too; see :class:`OnnxProcess`.
        **options: See :class:`PortOptions`.

    Raises:
        UsageError: An option is wrong or has to be given, or there is no such file.
        InputRefused: The file is not accepted, or cannot be asked.
        EnvironmentFailure: ONNX Runtime is not installed, or the file may not be read.
    """
    network = OnnxProcess(
        os.fsdecode(path),
        threads=torch.get_num_threads(),
        follow_symlinks=follow_symlinks,
        sandbox=sandbox,
        time_limit=time_limit,
        keep=keep,
    )
    with naming(network.file.path):
        return OnnxSuspect.of(network, **options)
