"""This side of the process that runs a file that is code.

::

    network = ProgramProcess("model.pt2")
    network.facts["inputs"], network.process.backend.name
    network.outputs(values), network.ask("x", values, "output")     # (N, values)

Nothing is believed of what comes: the file's code may have written it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import EnvironmentFailure, IncompatibleModel, MalformedFile, UnsafeFile
from fingerprint.formats.file_bytes import FileFacts, read_file
from fingerprint.formats.naming import naming
from fingerprint.formats.program_file import KINDS, program_kind
from fingerprint.sandbox.backends import chosen
from fingerprint.sandbox.process import Confined
from fingerprint.text import clean

__all__ = ["ProgramProcess"]

_MOST_PORTS = 64
_MOST_SIZES = 8
_LONGEST_NAME = 200


class ProgramProcess:
    """One file that is code, opened by a process in a sandbox.

    Args:
        path: A TorchScript archive, or a program of ``torch.export``.
        threads: How many may compute.
        memory: How many bytes the process may take; see :class:`Confined`.
        dimensions: How many an input has, for files that do not say.
        sandbox: False to run it without one, with the rights of whoever calls.

    Attributes:
        file: The file that was read.
        process: What runs it.
        facts: What it says of itself: ``inputs``, each a name, a type, and sizes, None for open
            ones or where it does not say; and ``runtime``. Text in it may be anything.

    Raises:
        UsageError: There is no such file.
        UnsafeFile: There is no sandbox to run it in, or it died.
        InputRefused: It is no such file, or does not load.
        EnvironmentFailure: It may not be read.
    """

    def __init__(
        self,
        path: str,
        *,
        threads: int = 1,
        memory: int | None = None,
        dimensions: int = 3,
        sandbox: bool = True,
    ) -> None:
        kind = program_kind(path)
        content = read_file(path)
        with naming(content.path):
            if kind is None:
                raise MalformedFile(f"expected {' or '.join(KINDS.values())}")
            self.file = FileFacts(
                path=content.path, sha256=content.sha256, size=len(content.data), format=kind
            )
            self.process = Confined(
                "fingerprint.programs.child",
                runs=KINDS[kind],
                backend=chosen(required=True, wanted=sandbox),
                threads=threads,
                memory=memory,
            )
            try:
                self.facts = self._opened(kind, content.data, dimensions)
            except BaseException:
                self.process.close()
                raise

    def _opened(self, kind: str, data: bytes, dimensions: int) -> dict[str, Any]:
        """Has the file loaded, which runs it, and returns what it says of itself."""
        try:
            reply, _ = self.process.request({"request": "open", "kind": kind}, data)
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

    def ask(self, name: str, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Answers a batch: ``(N, ...)`` as the input takes it -> ``(N, values)``.

        Args:
            name: The input; there is only one.
            values: What it gets.
            output: Which output to answer with.

        Raises:
            InputRefused: It does not run on these inputs, or its answers are no numbers.
            EnvironmentFailure: Its process ended, or sent something else.
        """
        del name
        return self.process.ask({"output": output}, values)


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
