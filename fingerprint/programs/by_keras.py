"""The process that runs Keras networks, with torch: ``python -m fingerprint.programs.by_keras``.

Only layers of Keras itself are made, and none from a function that the file brings. Keras sees to
that too (``safe_mode``), and was got round before, which is why it happens in a sandbox. See
:mod:`fingerprint.programs.serving`.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel, MalformedFile, UnsafeFile
from fingerprint.programs.serving import Served, described, last_line
from fingerprint.programs.tensors import arrays
from fingerprint.sandbox.serving import serve
from fingerprint.text import clean, listed

_OWN = ("keras", "builtins")
"""Where layers and functions of Keras say that they are from, if they say it."""
_LEFT_OUT = ("matplotlib", "sklearn", "IPython")
_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
"""Layers of Keras that run whatever the file brings."""


class _Keras(Served):
    def __init__(self, threads: int) -> None:
        os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is imported
        # Keras imports these where they are installed, for what is not needed here. One of them
        # does not start where it cannot write, the others take as long as all the rest.
        sys.modules.update(dict.fromkeys(_LEFT_OUT))  # type: ignore[arg-type]
        import keras
        import torch

        super().__init__(threads)
        torch.set_num_threads(threads)
        self.runtime = f"keras {keras.__version__} with torch {torch.__version__}"
        self._network: Any = None

    def load(self, kind: str, data: bytes, beside: bytes) -> Sequence[Mapping[str, Any]]:
        opening = {"keras": _archive, "keras-h5": _hdf5}[kind]
        try:
            self._network = opening(io.BytesIO(data))
        except (ValueError, TypeError, KeyError, OSError) as error:
            said = clean(last_line(error), 200)
            raise MalformedFile(f"Keras does not take it: {said}") from error
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

    with zipfile.ZipFile(stream) as archive:
        _require_own(json.loads(archive.read("config.json")))
    return load_model(stream, compile=False, safe_mode=True)


def _hdf5(stream: io.BytesIO) -> Any:
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import load_model_from_hdf5

    with h5py.File(stream, "r") as file:
        config = file.attrs.get("model_config")
        if config is None:
            raise MalformedFile(
                "expected a whole network, got weights without their layers; save it with "
                "model.save('model.keras')"
            )
        _require_own(json.loads(config))
        return load_model_from_hdf5(file, compile=False, safe_mode=True)


def _require_own(config: Any) -> None:
    """Refuses a network whose description names what is not a layer of Keras.

    Raises:
        UnsafeFile: It does.
    """
    strange = sorted(set(_strange(config)))
    if strange:
        raise UnsafeFile(
            f"expected layers of Keras, got {listed(strange)}: others are code and are not run; "
            "save the network without them"
        )


def _strange(config: Any) -> Iterator[str]:
    """Yields the names of classes and functions in a description that are code of somebody's."""
    if isinstance(config, list):
        for one in config:
            yield from _strange(one)
    if not isinstance(config, dict):
        return
    name, module = config.get("class_name"), config.get("module")
    if name in _CODE:
        yield str(name)
    elif name is not None and module and str(module).partition(".")[0] not in _OWN:
        yield f"{module}.{name}"
    for one in config.values():
        yield from _strange(one)


if __name__ == "__main__":
    serve(_Keras)
