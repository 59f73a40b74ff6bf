"""What the processes that run files that are code have in common, whatever runs them.

::

    class _Keras(Served):       # how one library opens a file, and how it runs
        ...

    if __name__ == "__main__":
        serve(_Keras)

Such a process is started by :mod:`fingerprint.programs.process`, which it talks to by its standard
input and output. After ``open`` the file's code may do in here whatever the sandbox lets it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel
from fingerprint.sandbox.rows import flat, pooled

__all__ = ["FLOAT", "Served", "described", "last_line"]

FLOAT = "tensor(float)"
_TYPES = {
    "float32": FLOAT,
    "float64": "tensor(double)",
    "float16": "tensor(float16)",
    "uint8": "tensor(uint8)",
}


def described(dtype: object) -> str:
    """Returns what a type of numbers is called between the two processes."""
    return _TYPES.get(str(dtype), f"tensor({dtype})")


class Served(ABC):
    """One file and what runs it. Subclasses import a library, open files with it and run them.

    Args:
        threads: How many may compute.
    """

    runtime = ""
    """The library and its version."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    @abstractmethod
    def load(self, kind: str, data: bytes, beside: bytes) -> Sequence[Mapping[str, Any]]:
        """Opens a file, which may run its code.

        Args:
            kind: One of :data:`fingerprint.formats.program_file.KINDS`.
            data: Its content.
            beside: That of the file that belongs to it; empty where there is none.

        Returns:
            What it takes: each a name, a type and sizes, None for open ones or where it does not
            say.
        """

    @abstractmethod
    def run(self, values: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Returns all that it gives for a batch, by name.

        Raises:
            IncompatibleModel: These are no arrays of numbers.
            RuntimeError, TypeError, ValueError, AssertionError: It does not take the batch.
        """

    def open(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Loads the file and says what it takes."""
        size = header["size"]
        inputs = self.load(header["kind"], payload[:size], payload[size:])
        return {"inputs": inputs, "runtime": self.runtime}, b""

    def outline(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Says what it gives for one input."""
        outputs = [
            {"name": name, "type": described(value.dtype), "shape": [None, *value.shape[1:]]}
            for name, value in self._given(header, payload).items()
        ]
        return {"outputs": outputs}, b""

    def ask(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Answers a batch with one of its outputs."""
        answer, count = self._given(header, payload)[header["output"]], header["shape"][0]
        rows = pooled([answer], count) if header["pool"] else flat(answer, count)
        return {"shape": rows.shape}, rows.tobytes()

    def _given(self, header: dict[str, Any], payload: bytes) -> Mapping[str, NDArray[Any]]:
        values = np.frombuffer(payload, header["dtype"]).reshape(header["shape"])
        try:
            given = self.run(values.copy())
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise IncompatibleModel(last_line(error)) from error
        if not given:
            raise IncompatibleModel("expected tensors, the network gives none")
        return given


def last_line(error: Exception) -> str:
    """Returns the end of an error: some libraries put a trace of code in front."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
