"""Runs a network in ONNX Runtime, and turns what it returns into one row for each input.

Runs only in the process of :mod:`fingerprint.graphs.child`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel, MalformedFile
from fingerprint.graphs.reading import nodes
from fingerprint.sandbox.rows import flat, pooled
from fingerprint.text import clean, first_line

__all__ = ["Session", "facts_of"]

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_DYNAMIC = ("DynamicQuantize", "MatMulInteger", "ConvInteger")
_SAME_VALUES = {"Identity", "Cast", "CastLike", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
                "Dropout", "QuantizeLinear", "DequantizeLinear"}  # fmt: skip
"""Operators through which probabilities stay probabilities."""


def facts_of(model: Any) -> dict[str, Any]:
    """Returns what a graph says of itself, as plain JSON values.

    Args:
        model: An ``onnx.ModelProto`` without local functions.

    Returns:
        ``alone``: whether an answer depends on what else is in the batch, because activations are
        quantised by their range; ``made_by``: by output, the operator whose values it gives.
    """
    import onnxruntime

    every = [node.op_type for node in nodes(model.graph)]
    makers = {name: node for node in model.graph.node for name in node.output}
    made_by = {}
    for output in model.graph.output:
        node = makers.get(output.name)
        while node is not None and node.op_type in _SAME_VALUES and node.input:
            node = makers.get(node.input[0])
        made_by[output.name] = "" if node is None else node.op_type
    return {
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "opset": next((o.version for o in model.opset_import if not o.domain), None),
        "alone": any(kind.startswith(_DYNAMIC) for kind in every),
        "made_by": made_by,
    }


class Session:
    """A network that is ready to run.

    Args:
        data: A serialised ``onnx.ModelProto`` without external data.
        threads: How many may compute.

    Raises:
        MalformedFile: ONNX Runtime does not take it.
    """

    def __init__(self, data: bytes, *, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # its errors are raised; nothing of it is to be printed
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # It has an error class for each of its status codes.
            raise MalformedFile(f"ONNX Runtime does not take it: {_said(error)}") from error
        self._inputs = {one.name: one for one in self._session.get_inputs()}

    def ports(self) -> dict[str, list[dict[str, Any]]]:
        """Returns the inputs and outputs: each a name, a type, and sizes, None for open ones."""
        ports = {"inputs": self._session.get_inputs(), "outputs": self._session.get_outputs()}
        return {
            side: [{"name": one.name, "type": one.type, "shape": _sizes(one)} for one in every]
            for side, every in ports.items()
        }

    def ask(
        self, name: str, values: NDArray[Any], output: str, *, pool: bool
    ) -> NDArray[np.float32]:
        """Answers a batch: ``(N, ...)`` as the input takes it -> ``(N, values)``.

        Args:
            name: The input; all others get zeros.
            values: What it gets.
            output: Which output to answer with.
            pool: Whether that has another size for each input; see :func:`pooled`.

        Raises:
            IncompatibleModel: It does not run on these inputs, or its answers are no numbers.
        """
        given = {
            other: _zeros(one, len(values)) for other, one in self._inputs.items() if other != name
        }
        try:
            (answer,) = self._session.run([output], {**given, name: values})
        except Exception as error:
            # It has an error class for each of its status codes.
            raise IncompatibleModel(_said(error)) from error
        return pooled(_parts(answer), len(values)) if pool else _rows(answer, len(values))


def _sizes(port: Any) -> list[int | None] | None:
    if not isinstance(port.shape, list):
        return None
    return [size if isinstance(size, int) else None for size in port.shape]


def _zeros(port: Any, count: int) -> NDArray[Any]:
    """Returns zeros for an input that nobody asks about; its first open size is the batch."""
    if port.type not in _TYPES:
        raise IncompatibleModel(
            f"the input '{clean(port.name)}' takes {clean(port.type)}; choose another with --input"
        )
    sizes = _sizes(port) or []
    shape = [size or (1 if place else count) for place, size in enumerate(sizes)]
    return np.zeros(shape, _TYPES[port.type])


def _rows(answer: Any, count: int) -> NDArray[np.float32]:
    """Flattens what came to one row of numbers for each input."""
    if isinstance(answer, np.ndarray):
        return flat(answer, count)
    if isinstance(answer, dict):
        return flat(_listed(answer), count)
    if isinstance(answer, list) and all(isinstance(one, dict) for one in answer):
        return flat(np.stack([_listed(one) for one in answer]), count)
    if isinstance(answer, list) and all(isinstance(one, np.ndarray) for one in answer):
        return flat(np.concatenate([one.reshape(-1) for one in answer] or [np.empty(0)]), count)
    raise IncompatibleModel(f"expected numbers, got {type(answer).__name__}")


def _parts(answer: Any) -> list[NDArray[Any]]:
    """Returns the arrays of what came, of any size."""
    parts = answer if isinstance(answer, list) else [answer]
    return [_listed(one) if isinstance(one, dict) else np.asarray(one) for one in parts]


def _listed(one: dict[Any, Any]) -> NDArray[Any]:
    """Returns a map's values in the order of its keys."""
    return np.array([one[key] for key in sorted(one)])


def _said(error: Exception) -> str:
    return _PREFIX.sub("", first_line(error, limit=300))
