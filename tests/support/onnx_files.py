"""ONNX files for tests: real exports of trained networks, and graphs made by hand.

Importing this skips a test module where the extra ``onnx`` is not installed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.support.digits import digits

onnx = pytest.importorskip("onnx", reason="pip install 'nullprint[onnx]'")
pytest.importorskip("onnxruntime", reason="pip install 'nullprint[onnx]'")

__all__ = ["Rearranged", "bytes_inside", "channels_last", "export", "graph", "quantised", "save"]
__all__ += ["tensor", "value"]

SIDE = 16
WEIGHTS = np.random.default_rng(0).standard_normal((SIDE * SIDE, 10)).astype(np.float32)


def export(
    network: nn.Module,
    file: Path,
    *,
    example: Tensor | None = None,
    dynamo: bool = False,
    dynamic: bool = True,
    **options: Any,
) -> Path:
    """Writes a network as torch does, by its new exporter (``dynamo``) or by its old one.

    Args:
        network: In evaluation mode.
        file: Where to.
        example: Inputs; by default two digits.
        dynamo: Which exporter.
        dynamic: Whether it is to take any number of inputs, or as many as the example has.
        options: Passed on.
    """
    inputs = torch.zeros(2, 1, SIDE, SIDE) if example is None else example
    if dynamo:
        pytest.importorskip("onnxscript", reason="pip install onnxscript")
        options |= {"verbose": False}
        if dynamic:
            options |= {"dynamic_shapes": ({0: torch.export.Dim("images")},)}
    elif dynamic:
        options |= {"input_names": ["x"], "dynamic_axes": {"x": {0: "images"}}}
    with quiet():
        torch.onnx.export(network.eval(), (inputs,), str(file), dynamo=dynamo, **options)
    return file


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what exporters and quantisers say to themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", None)]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    for one, level in zip(loggers, before, strict=True):
        one.setLevel(level)


class _Digits:
    """Hands digits to ONNX Runtime's calibration one by one, as its readers do."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = iter(np.split(digits().train_images[:32].astype(np.float32) / 255, 32))

    def get_next(self) -> dict[str, Any] | None:
        one = next(self._left, None)
        return None if one is None else {self._name: one}


def quantised(plain: Path, file: Path, form: str = "QDQ") -> Path:
    """Writes an int8 copy of a network on digits.

    Args:
        plain: The network.
        file: Where to.
        form: ``QDQ`` or ``QOperator``, with ranges fixed on digits; or ``dynamic``.
    """
    from onnxruntime import quantization

    with quiet():
        if form == "dynamic":
            unsigned = quantization.QuantType.QUInt8  # signed kernels are not offered
            quantization.quantize_dynamic(plain, file, weight_type=unsigned)
        else:
            reader = _Digits(onnx.load(plain).graph.input[0].name)
            written = quantization.QuantFormat[form]
            quantization.quantize_static(plain, file, reader, quant_format=written)
    return file


class Rearranged(nn.Module):
    """A network behind something else that an export may hold.

    Args:
        network: Takes pictures ``(N, C, H, W)`` in 0..1.
        before: What is done to the input.
        after: What is done to the answer.
    """

    def __init__(self, network: nn.Module, *, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x: Tensor) -> Any:
        """Whatever comes of it."""
        answer = self.network(self.before(x) if self.before else x)
        return self.after(answer) if self.after else answer


def channels_last(x: Tensor) -> Tensor:
    """Takes pictures ``(N, H, W, C)`` to those that a network of torch takes."""
    return x.permute(0, 3, 1, 2)


def bytes_inside(x: Tensor) -> Tensor:
    """Takes bytes to values in 0..1."""
    return x.float() / 255


def value(name: str, shape: Sequence[int | str | None] | None, kind: str = "FLOAT") -> Any:
    """Returns an input or output of a graph."""
    return onnx.helper.make_tensor_value_info(name, getattr(onnx.TensorProto, kind), shape)


def tensor(name: str, values: NDArray[Any]) -> Any:
    """Returns an initialiser."""
    return onnx.numpy_helper.from_array(np.asarray(values), name)


def graph(
    *nodes: tuple[Any, ...],
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[Any] | None = None,
    initialisers: Sequence[Any] = (),
    **model: Any,
) -> Any:
    """Returns a network made by hand; by default a linear classifier of digits, ``x`` to ``y``.

    Args:
        nodes: Each ``(operator, inputs, outputs)`` and, if need be, its attributes.
        inputs: What it takes.
        outputs: What it gives.
        initialisers: Beside the weights ``w``.
        model: Fields of the model.
    """
    made = [
        onnx.helper.make_node(operator, list(given), list(made), **dict(*rest))
        for operator, given, made, *rest in nodes or LINEAR
    ]
    content = onnx.helper.make_graph(
        made,
        "any",
        [value("x", ["n", 1, SIDE, SIDE])] if inputs is None else list(inputs),
        [value("y", ["n", 10])] if outputs is None else list(outputs),
        [tensor("w", WEIGHTS), *initialisers],
    )
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    return onnx.helper.make_model(content, opset_imports=opsets, ir_version=9, **model)


LINEAR = (("Flatten", ["x"], ["f"]), ("MatMul", ["f", "w"], ["y"]))


def save(model: Any, file: Path) -> Path:
    """Writes a network made by hand."""
    file.write_bytes(model.SerializeToString())
    return file
