"""The process that runs TensorFlow Lite files: ``python -m fingerprint.programs.by_litert``.

Only operators that are built in are there to run, so that a file with one of somebody's own is
refused. Inputs and outputs of 8 bits are numbers on a scale that the file states; they are given
and taken as the numbers, but for uint8 inputs, which are pixels as they are. See
:mod:`fingerprint.programs.serving`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel, MalformedFile, UnsafeFile
from fingerprint.programs.serving import FLOAT, Served, described
from fingerprint.sandbox.serving import serve
from fingerprint.text import clean, first_line

_CUSTOM = "unresolved custom op"
_UNSUPPORTED = "Select TensorFlow op"


class _LiteRt(Served):
    def __init__(self, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(threads)
        self.runtime = f"ai-edge-litert {version('ai-edge-litert')}"
        self._open = Interpreter
        self._network: Any = None

    def load(self, kind: str, data: bytes, beside: bytes) -> Sequence[Mapping[str, Any]]:
        try:
            self._network = self._open(model_content=data, num_threads=self.threads)
            self._network.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            said = first_line(error)
            if _CUSTOM in said or _UNSUPPORTED in said:
                raise UnsafeFile(
                    "expected operators of TensorFlow Lite, got others, which are code and are not "
                    f"run ({clean(said)}); convert the network without them"
                ) from error
            raise MalformedFile(f"TensorFlow Lite does not take it: {clean(said)}") from error
        return [
            {
                "name": one["name"],
                "type": FLOAT if one["dtype"] == np.int8 else described(np.dtype(one["dtype"])),
                "shape": [None if size < 0 else int(size) for size in one["shape_signature"]],
            }
            for one in self._network.get_input_details()
        ]

    def run(self, values: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        if self._network is None:
            raise IncompatibleModel("expected an opened network")
        (taken,) = self._network.get_input_details()
        if tuple(taken["shape"]) != values.shape:
            self._network.resize_tensor_input(taken["index"], values.shape)
            self._network.allocate_tensors()
        self._network.set_tensor(taken["index"], _on_its_scale(values, taken))
        self._network.invoke()
        return {
            one["name"]: _as_numbers(self._network.get_tensor(one["index"]), one)
            for one in self._network.get_output_details()
        }


def _on_its_scale(values: NDArray[Any], port: Mapping[str, Any]) -> NDArray[Any]:
    """Returns inputs as 8-bit numbers where the file takes those: ``(N, ...)``."""
    scale, zero = port["quantization"]
    if port["dtype"] != np.int8 or not scale:
        return values
    whole: NDArray[Any] = np.clip(np.rint(values / scale + zero), -128, 127).astype(np.int8)
    return whole


def _as_numbers(values: NDArray[Any], port: Mapping[str, Any]) -> NDArray[Any]:
    """Returns outputs as the numbers that 8-bit ones stand for."""
    scale, zero = port["quantization"]
    if values.dtype.kind not in "iu" or not scale:
        return values
    numbers: NDArray[Any] = (values.astype(np.float32) - zero) * np.float32(scale)
    return numbers


if __name__ == "__main__":
    serve(_LiteRt)
