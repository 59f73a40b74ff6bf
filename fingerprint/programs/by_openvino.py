"""The process that runs OpenVINO networks: ``python -m fingerprint.programs.by_openvino``.

No extension is ever loaded, so that a file with an operator that OpenVINO does not have is refused.
See :mod:`fingerprint.programs.serving`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel, MalformedFile, UnsafeFile
from fingerprint.programs.serving import Served, described, last_line
from fingerprint.sandbox.serving import serve
from fingerprint.text import clean

_CUSTOM = "from unsupported opset"


class _OpenVino(Served):
    def __init__(self, threads: int) -> None:
        import openvino

        super().__init__(threads)
        self.runtime = f"openvino {openvino.__version__}"
        self._core = openvino.Core()
        self._network: Any = None

    def load(self, kind: str, data: bytes, beside: bytes) -> Sequence[Mapping[str, Any]]:
        # Otherwise it computes in half precision or bfloat16 where the processor has it.
        how = {"INFERENCE_NUM_THREADS": self.threads, "INFERENCE_PRECISION_HINT": "f32"}
        try:
            model = self._core.read_model(model=data, weights=beside)
            self._network = self._core.compile_model(model, "CPU", how)
        except RuntimeError as error:
            raise _refusal(clean(last_line(error), 200)) from error
        return [
            {
                "name": _called(port, place),
                "type": described(np.dtype(port.get_element_type().to_dtype())),
                "shape": [
                    None if size.is_dynamic else size.get_length()
                    for size in port.get_partial_shape()
                ],
            }
            for place, port in enumerate(self._network.inputs)
        ]

    def run(self, values: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        if self._network is None:
            raise IncompatibleModel("expected an opened network")
        given = self._network([values])
        return {
            _called(port, place): np.array(given[port])
            for place, port in enumerate(self._network.outputs)
        }


def _refusal(said: str) -> MalformedFile | UnsafeFile:
    if _CUSTOM in said:
        return UnsafeFile(
            f"expected operators of OpenVINO, got others, which are code and are not run ({said}); "
            "convert the network without them"
        )
    return MalformedFile(f"OpenVINO does not take it: {said}")


def _called(port: Any, place: int) -> str:
    """Returns a name of an input or output, else its number; a file need not have any."""
    return min(port.get_names(), default=str(place))


if __name__ == "__main__":
    serve(_OpenVino)
