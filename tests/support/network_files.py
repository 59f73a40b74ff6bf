"""The lab's convolutional network as TensorFlow Lite, Keras and OpenVINO write it.

Each needs the library of its extra. What these libraries expect is written out here, since their
own converters need TensorFlow, or as much as it does. Pictures are taken with their channels last,
but for OpenVINO.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.lab.modifications import folded
from fingerprint.lab.networks import Cnn

__all__ = ["keras_layers", "keras_network", "openvino_file", "tflite_file"]

os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is imported, which fails without TensorFlow
SIZE = 16
Array = NDArray[Any]


def _head(network: Cnn) -> tuple[Array, Array]:
    """Returns the head for features with their channels last: ``(10, values)`` and ``(10,)``."""
    weight = network.head.weight.detach()
    last = weight.reshape(len(weight), -1, 2, 2).permute(0, 2, 3, 1).reshape(len(weight), -1)
    return last.numpy(), network.head.bias.detach().numpy()


def _convolutions(network: Cnn) -> list[tuple[Array, Array, int]]:
    """Returns the convolutions with their norms folded in: weights, biases and strides."""
    return [
        (one.weight.detach().numpy(), one.bias.detach().numpy(), one.stride[0])
        for one, _ in folded(network).layers()
        if one.bias is not None
    ]


def openvino_file(network: torch.nn.Module, path: Path) -> Path:
    """Writes ``path`` and the ``.bin`` beside it, for any number of inputs."""
    import openvino

    example = torch.zeros(2, 1, SIZE, SIZE)
    converted = openvino.convert_model(network, example_input=example, input=[-1, 1, SIZE, SIZE])
    openvino.save_model(converted, path, compress_to_fp16=False)
    return path


def keras_layers(network: Cnn) -> list[Any]:
    """Returns the layers of the network, which have weights once they are in a model."""
    from keras import layers

    steps: list[Any] = [layers.Input((SIZE, SIZE, 1))]
    for weight, _, stride in _convolutions(network):
        steps += [
            layers.ZeroPadding2D(1),
            layers.Conv2D(len(weight), 3, strides=stride, activation="relu"),
        ]
    return [*steps, layers.AveragePooling2D(2), layers.Flatten(), layers.Dense(10)]


def keras_network(network: Cnn, path: Path, *more: Any) -> Path:
    """Writes a ``.keras`` archive, or an ``.h5`` file if it is called so.

    Args:
        network: What it computes.
        path: Where to.
        more: Layers that come after its own.
    """
    import keras

    model = keras.Sequential([*keras_layers(network), *more])
    every: list[Array] = []
    for weight, bias, _ in _convolutions(network):
        every += [weight.transpose(2, 3, 1, 0), bias]
    weight, bias = _head(network)
    model.set_weights([*every, weight.T, bias])
    model.save(path)
    return path


def tflite_file(
    network: Cnn, path: Path, *, eight_bits: bool = False, custom: str = "", batch: int = 1
) -> Path:
    """Writes a TensorFlow Lite file.

    Args:
        network: What it computes.
        path: Where to.
        eight_bits: Whether it takes and gives whole numbers of 8 bits.
        custom: Name of an operator of somebody's own that comes last.
        batch: How many inputs it takes; -1 for any number.
    """
    path.write_bytes(_Writer(batch).content(network, eight_bits, custom))
    return path


class _Writer:
    """Lays out the operators and tensors of one graph, as the schema of such files wants them."""

    def __init__(self, batch: int) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.batch = schema, batch
        self.operators: list[Any] = []
        self.tensors: list[Any] = []
        self.codes: list[Any] = []
        self.buffers = [schema.BufferT()]

    def content(self, network: Cnn, eight_bits: bool, custom: str) -> bytes:
        """Returns the file."""
        import flatbuffers

        first = now = self.tensor((1, SIZE, SIZE, 1), "INT8" if eight_bits else "FLOAT32")
        if eight_bits:
            self.scaled(first, 1 / 255, -128)
            now = self.step("DEQUANTIZE", [first], (1, SIZE, SIZE, 1))
        now = self.layers(network, now)
        if eight_bits:
            now = self.step("QUANTIZE", [now], (1, 10), kind="INT8")
            self.scaled(now, 0.25, 5)
        if custom:
            now = self.step("CUSTOM", [now], (1, 10), called=custom)
        model = self.schema.ModelT(
            version=3,
            operatorCodes=self.codes,
            buffers=self.buffers,
            subgraphs=[
                self.schema.SubGraphT(
                    tensors=self.tensors, inputs=[first], outputs=[now], operators=self.operators
                )
            ],
        )
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def layers(self, network: Cnn, now: int) -> int:
        """Writes the layers and returns the number of the last tensor."""
        made, size = self.schema, SIZE
        around = self.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
        for weight, bias, stride in _convolutions(network):
            padded = (1, size + 2, size + 2, weight.shape[1])
            now = self.step("PAD", [now, around], padded, made.PadOptionsT())
            size //= stride
            options = made.Conv2DOptionsT(
                padding=made.Padding.VALID,
                strideW=stride,
                strideH=stride,
                fusedActivationFunction=made.ActivationFunctionType.RELU,
            )
            given = [now, self.constant(weight.transpose(0, 2, 3, 1)), self.constant(bias)]
            now = self.step("CONV_2D", given, (1, size, size, len(weight)), options)
        pool = made.Pool2DOptionsT(
            padding=made.Padding.VALID, strideW=2, strideH=2, filterWidth=2, filterHeight=2
        )
        width = len(_convolutions(network)[-1][0])
        now = self.step("AVERAGE_POOL_2D", [now], (1, 2, 2, width), pool)
        shape = self.constant(np.array([-1, 4 * width], np.int32))
        flat = made.ReshapeOptionsT(newShape=[-1, 4 * width])
        now = self.step("RESHAPE", [now, shape], (1, 4 * width), flat)
        weight, bias = _head(network)
        given = [now, self.constant(weight), self.constant(bias)]
        return self.step("FULLY_CONNECTED", given, (1, 10), made.FullyConnectedOptionsT())

    def step(
        self,
        name: str,
        given: list[int],
        shape: tuple[int, ...],
        options: Any = None,
        *,
        kind: str = "FLOAT32",
        called: str = "",
    ) -> int:
        """Adds an operator and returns the number of the tensor that it gives."""
        made = self.schema
        code = getattr(made.BuiltinOperator, name)
        self.codes.append(
            made.OperatorCodeT(
                builtinCode=code, deprecatedBuiltinCode=min(code, 127), customCode=called or None
            )
        )
        result = self.tensor(shape, kind)
        of = type(options).__name__.removesuffix("T")
        self.operators.append(
            made.OperatorT(
                opcodeIndex=len(self.codes) - 1,
                inputs=given,
                outputs=[result],
                builtinOptionsType=getattr(made.BuiltinOptions, of) if options else 0,
                builtinOptions=options,
            )
        )
        return result

    def constant(self, values: Array) -> int:
        """Adds numbers and returns their tensor's number."""
        data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.buffers.append(self.schema.BufferT(data=data))
        kind = "INT32" if values.dtype == np.int32 else "FLOAT32"
        return self.tensor(values.shape, kind, buffer=len(self.buffers) - 1)

    def tensor(self, shape: tuple[int, ...], kind: str, *, buffer: int = 0) -> int:
        """Adds a tensor and returns its number; one without numbers is for a batch."""
        open_ = [self.batch, *shape[1:]]
        self.tensors.append(
            self.schema.TensorT(
                shape=list(shape),
                shapeSignature=None if buffer or self.batch > 0 else open_,
                type=getattr(self.schema.TensorType, kind),
                buffer=buffer,
                name=f"tensor_{len(self.tensors)}",
                hasRank=True,
            )
        )
        return len(self.tensors) - 1

    def scaled(self, tensor: int, scale: float, zero: int) -> None:
        """States what the 8-bit numbers of a tensor stand for."""
        self.tensors[tensor].quantization = self.schema.QuantizationParametersT(
            scale=np.array([scale], np.float32), zeroPoint=np.array([zero], np.int64)
        )
