"""Networks that leave PyTorch: written as ONNX, run by onnxruntime."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

__all__ = ["OnnxNetwork", "available", "export"]


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
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (images,),
            file,
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("images")},),
        )


class OnnxNetwork(nn.Module):
    """Answers as a PyTorch network does; computed by onnxruntime, so without gradients.

    Args:
        file: An ONNX graph with one input and one output.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        import onnxruntime

        self.file = file

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self.eval()

    def __deepcopy__(self, memo: dict[int, object]) -> OnnxNetwork:
        """Opens the graph again; a session cannot be copied."""
        return OnnxNetwork(self.file)

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, C, H, W)`` in [0, 1] with logits."""
        pixels = x.detach().to("cpu", torch.float32).contiguous().numpy()
        (logits,) = self._session.run(None, {self._input: pixels})
        return torch.from_numpy(logits).to(x.device)
