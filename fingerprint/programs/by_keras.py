"""The process that runs Keras networks, with torch: ``python -m fingerprint.programs.by_keras``.

Only layers of Keras itself are made, and none from a function that the file brings (``safe_mode``).
That has been got round before, which is why it happens in a sandbox. See
:mod:`fingerprint.programs.serving`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel
from fingerprint.programs.serving import Served, described
from fingerprint.programs.tensors import arrays
from fingerprint.sandbox.serving import serve


class _Keras(Served):
    def __init__(self, threads: int) -> None:
        os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is imported
        import keras
        import torch

        super().__init__(threads)
        torch.set_num_threads(threads)
        self.runtime = f"keras {keras.__version__} with torch {torch.__version__}"
        self._network: Any = None

    def load(self, kind: str, data: bytes, beside: bytes) -> Sequence[Mapping[str, Any]]:
        opening = {"keras": _archive, "keras-h5": _hdf5}[kind]
        self._network = opening(io.BytesIO(data))
        return [
            {"name": one.name, "type": described(one.dtype), "shape": list(one.shape)}
            for one in self._network.inputs
        ]

    def run(self, values: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        import torch

        if self._network is None:
            raise IncompatibleModel("expected an opened network")
        with torch.no_grad():
            return arrays(self._network(torch.from_numpy(values), training=False))


# keras.saving.load_model takes a path only, and there is none here that could be written to.


def _archive(stream: io.BytesIO) -> Any:
    from keras.src.saving.saving_lib import load_model

    return load_model(stream, compile=False, safe_mode=True)


def _hdf5(stream: io.BytesIO) -> Any:
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import load_model_from_hdf5

    with h5py.File(stream, "r") as file:
        return load_model_from_hdf5(file, compile=False, safe_mode=True)


if __name__ == "__main__":
    serve(_Keras)
