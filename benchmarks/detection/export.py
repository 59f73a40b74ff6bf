"""Networks that leave PyTorch: written as ONNX, run by onnxruntime."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["OnnxNetwork", "available", "export", "export_quantised"]

_INPUT = "pixels"


def available() -> bool:
    """Returns whether everything that exporting and running takes is installed."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))


def export(network: nn.Module, file: Path, input_size: tuple[int, ...]) -> None:
    """Writes a network as one ONNX file that takes any number of images.

    Args:
        network: In evaluation mode.
        file: Where to.
        input_size: Shape of one image.
    """
    images = torch.zeros(2, *input_size)
    with _quiet():
        torch.onnx.export(
            network,
            (images,),
            file,
            input_names=[_INPUT],
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("images")},),
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what exporting and quantising say to themselves."""
    for name in ("torch.onnx", None):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def export_quantised(
    network: nn.Module, file: Path, input_size: tuple[int, ...], *, pictures: Tensor | None = None
) -> None:
    """Writes a network as ONNX whose weights and activations onnxruntime computes with 8 bits.

    Args:
        network: In evaluation mode.
        file: Where to.
        input_size: Shape of one image.
        pictures: Fix the ranges of the activations (static); without them every batch sets its
            own (dynamic).
    """
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        export(network, plain, input_size)
        quantization.quant_pre_process(plain, ready, skip_symbolic_shape=True)
        if pictures is None:
            unsigned = quantization.QuantType.QUInt8  # signed kernels are not offered
            quantization.quantize_dynamic(ready, file, weight_type=unsigned)
        else:
            quantization.quantize_static(ready, file, _Pictures(pictures), per_channel=True)


class _Pictures:
    """Hands pictures to onnxruntime's calibration one by one, as its readers do."""

    def __init__(self, pictures: Tensor) -> None:
        self._left = iter(torch.split(pictures, 1))

    def get_next(self) -> dict[str, Any] | None:
        """Returns the next input by the name that :func:`export` gives it; None at the end."""
        picture = next(self._left, None)
        return None if picture is None else {_INPUT: picture.numpy()}


class OnnxNetwork(nn.Module):
    """Answers as a PyTorch network does; computed by onnxruntime, so without gradients.

    A graph that quantises activations by their range in the batch is asked one image at a time, as
    an app would: else an answer would depend on the others.

    Args:
        file: An ONNX graph with one input and one output.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        import onnx
        import onnxruntime

        self.file = file

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        graph = onnx.load(file, load_external_data=False).graph
        self._alone = any(node.op_type == "DynamicQuantizeLinear" for node in graph.node)
        self.eval()

    def __deepcopy__(self, memo: dict[int, object]) -> OnnxNetwork:
        """Opens the graph again; a session cannot be copied."""
        return OnnxNetwork(self.file)

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, C, H, W)`` in [0, 1] with logits."""
        pixels = x.detach().to("cpu", torch.float32).contiguous().numpy()
        parts = np.split(pixels, len(pixels)) if self._alone else [pixels]
        logits = np.concatenate([self._session.run(None, {self._input: one})[0] for one in parts])
        return torch.from_numpy(logits).to(x.device)
