"""This side of the process that runs a file that is code.

::

    network = ProgramProcess("model.pt2")
    network.facts["inputs"], network.process.backend.name
    network.outputs(values), network.ask("x", values, "output")     # (N, values)

Nothing is believed of what comes: the file's code may have written it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import (
    EnvironmentFailure,
    IncompatibleModel,
    MalformedFile,
    UnsafeFile,
    UsageError,
)
from fingerprint.formats.file_bytes import FileBytes, FileFacts, read_file
from fingerprint.formats.folder import inside
from fingerprint.formats.naming import naming, shown_path
from fingerprint.formats.program_file import KINDS, program_kind
from fingerprint.sandbox.backends import chosen
from fingerprint.sandbox.process import Confined
from fingerprint.text import clean

__all__ = ["ProgramProcess"]


@dataclass(frozen=True)
class _Runtime:
    """What runs files of a kind.

    Attributes:
        module: The module of this package that does, in a process of its own.
        needs: The package that it imports; empty for torch, which is there.
        extra: The extra that installs it.
    """

    module: str
    needs: str = ""
    extra: str = ""


_TORCH = _Runtime("by_torch")
_KERAS = _Runtime("by_keras", "keras", "keras")
_RUNTIMES = {
    "torchscript": _TORCH,
    "pt2": _TORCH,
    "keras": _KERAS,
    "keras-h5": _KERAS,
    "tflite": _Runtime("by_litert", "ai_edge_litert", "tflite"),
    "openvino": _Runtime("by_openvino", "openvino", "openvino"),
}
_MOST_PORTS = 64
_MOST_SIZES = 8
_LONGEST_NAME = 200


class ProgramProcess:
    """One file that is code, opened by a process in a sandbox.

    Args:
        path: The file; the weights of an OpenVINO network lie beside it.
        threads: How many may compute.
        memory: How many bytes the process may take; see :class:`Confined`.
        dimensions: How many an input has, for files that do not say.
        sandbox: False to run it without one, with the rights of whoever calls.
        time_limit: How many seconds it may take for all it is asked; None for no limit.

    Attributes:
        file: The file that was read.
        process: What runs it.
        facts: What it says of itself: ``inputs``, each a name, a type, and sizes, None for open
            ones or where it does not say; and ``runtime``. Text in it may be anything.

    Raises:
        UsageError: There is no such file.
        UnsafeFile: There is no sandbox to run it in, or it died.
        InputRefused: It is no such file, or does not load.
        EnvironmentFailure: It may not be read, or what runs it is not installed.
    """

    def __init__(
        self,
        path: str,
        *,
        threads: int = 1,
        memory: int | None = None,
        dimensions: int = 3,
        sandbox: bool = True,
        time_limit: float | None = None,
    ) -> None:
        kind = program_kind(path)
        content = read_file(path)
        with naming(content.path):
            if kind is None:
                raise MalformedFile(f"expected {' or '.join(KINDS.values())}")
            runtime = _RUNTIMES[kind]
            _require(runtime, kind, content.path)
            beside = _weights_of(content) if kind == "openvino" else None
            self.file = _facts(kind, content, beside)
            self.process = Confined(
                f"fingerprint.programs.{runtime.module}",
                runs=KINDS[kind],
                backend=chosen(required=True, wanted=sandbox),
                threads=threads,
                memory=memory,
                time_limit=time_limit,
            )
            try:
                self.facts = self._opened(kind, content, beside, dimensions)
            except BaseException:
                self.process.close()
                raise

    def _opened(
        self, kind: str, content: FileBytes, beside: FileBytes | None, dimensions: int
    ) -> dict[str, Any]:
        """Has the file loaded, which may run it, and returns what it says of itself."""
        parts = [one.data for one in (content, beside) if one is not None]
        header = {"request": "open", "kind": kind, "size": len(content.data)}
        try:
            reply, _ = self.process.request(header, *parts)
        except EnvironmentFailure as error:
            raise UnsafeFile(f"running it failed: {error}") from error
        inputs = _ports(reply.get("inputs"))
        if len(inputs) != 1:
            names = ", ".join(clean(one["name"]) for one in inputs) or "none"
            raise IncompatibleModel(f"expected a network that takes one tensor, it takes {names}")
        if inputs[0]["shape"] is None:
            inputs[0]["shape"] = [None] * (1 + dimensions)
        return {"inputs": inputs, "runtime": clean(reply.get("runtime", "")), "alone": False}

    def outputs(self, values: NDArray[Any]) -> list[dict[str, Any]]:
        """Runs a batch and returns what it gives, each a name, a type and sizes.

        Raises:
            InputRefused: It does not take the batch, or gives no tensors.
            EnvironmentFailure: Its process ended.
        """
        header = {"request": "outline", "dtype": values.dtype.str, "shape": values.shape}
        reply, _ = self.process.request(header, np.ascontiguousarray(values).data.cast("B"))
        return _ports(reply.get("outputs"))

    def ask(
        self, name: str, values: NDArray[Any], output: str, *, pool: bool = False
    ) -> NDArray[np.float32]:
        """Answers a batch: ``(N, ...)`` as the input takes it -> ``(N, values)``.

        Args:
            name: The input; there is only one.
            values: What it gets.
            output: Which output to answer with.
            pool: Whether that has another size for each input; see
                :func:`fingerprint.sandbox.rows.pooled`.

        Raises:
            InputRefused: It does not run on these inputs, or its answers are no numbers.
            EnvironmentFailure: Its process ended, or sent something else.
        """
        del name
        return self.process.ask({"output": output, "pool": pool}, values)


def _require(runtime: _Runtime, kind: str, path: str) -> None:
    if runtime.needs and importlib.util.find_spec(runtime.needs) is None:
        raise EnvironmentFailure(
            f"{shown_path(path)}: {KINDS[kind]}, and {runtime.needs} is not installed to run it; "
            f"pip install 'nullprint[{runtime.extra}]'"
        )


def _weights_of(content: FileBytes) -> FileBytes:
    """Reads the file beside an OpenVINO network that has its weights."""
    folder, name = os.path.split(content.path)
    weights = f"{os.path.splitext(name)[0]}.bin"
    try:
        return read_file(inside(folder, weights, False, []), follow_symlink=False)
    except UsageError as error:
        raise MalformedFile(
            f"expected its weights beside it, in '{clean(weights)}'; put both into one folder"
        ) from error


def _facts(kind: str, content: FileBytes, beside: FileBytes | None) -> FileFacts:
    """Returns what was read; the digest of two files is that of their digests."""
    files = [one for one in (content, beside) if one is not None]
    digests = "".join(one.sha256 for one in files)
    return FileFacts(
        path=content.path,
        sha256=content.sha256 if beside is None else hashlib.sha256(digests.encode()).hexdigest(),
        size=sum(len(one.data) for one in files),
        format=kind,
    )


def _ports(said: Any) -> list[dict[str, Any]]:
    """Returns inputs or outputs as they were said, if they are such.

    Raises:
        UnsafeFile: They are something else.
    """
    if not isinstance(said, list) or len(said) > _MOST_PORTS or not all(map(_is_port, said)):
        raise UnsafeFile("its process sent something else than what the network takes and gives")
    return [{key: one[key] for key in ("name", "type", "shape")} for one in said]


def _is_port(one: Any) -> bool:
    if not isinstance(one, dict):
        return False
    sizes = one.get("shape")
    shaped = sizes is None or (isinstance(sizes, list) and len(sizes) <= _MOST_SIZES)
    whole = shaped and all(
        size is None or (type(size) is int and 0 < size < 2**31) for size in sizes or ()
    )
    texts = [one.get("name"), one.get("type")]
    return whole and all(isinstance(text, str) and len(text) <= _LONGEST_NAME for text in texts)
