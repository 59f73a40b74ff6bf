"""An operator as plain arrays, and back: what is kept of a model's first affine segment.

The arrays hold a JSON header (``uint8``, the tree of operators with their settings) and the
numbers. Reading treats them as hostile: only known kinds, settings of the right type, finite
floating-point numbers, bounded sizes; nothing is evaluated or unpickled.

    arrays = to_arrays(segment.operator)    # {"header": ..., "0": ...}; {} if not storable
    operator = from_arrays(arrays)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import MalformedFile, UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Product, Repeated, Stack, Sum
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.normalization import Diagonal
from fingerprint.operators.patch import PatchConvolution
from fingerprint.operators.pooling import Pooling
from fingerprint.operators.reshape import Gather, Pad, Permute, Reshape, Select

__all__ = ["STORAGE_LIMIT", "from_arrays", "to_arrays"]

STORAGE_LIMIT = 2**26
"""Largest number of bytes of arrays that are written for one operator (64 MiB)."""

_VERSION = 1
_HEADER = "header"
_HEADER_LIMIT = 2**20
_LARGEST = 2**26
_DEEPEST = 32
_MOST_NODES = 1024
_DTYPES = {"float32": torch.float32, "float64": torch.float64}

Arrays = dict[str, NDArray[Any]]


def to_arrays(operator: LinearOperator) -> Arrays:
    """Writes an operator as arrays.

    Args:
        operator: Made of the classes of this package, in float32 or float64.

    Returns:
        Arrays by name; empty for an operator that cannot be stored: one that holds a function
        (``Traced``), of another precision, or with more than ``STORAGE_LIMIT`` bytes.
    """
    name = str(operator.dtype).removeprefix("torch.")
    arrays: Arrays = {}
    root = _write(operator, arrays) if name in _DTYPES else None
    if root is None or sum(array.nbytes for array in arrays.values()) > STORAGE_LIMIT:
        return {}
    document = {"version": _VERSION, "dtype": name, "root": root}
    header = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    arrays[_HEADER] = np.frombuffer(header, dtype=np.uint8)
    return arrays


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> LinearOperator:
    """Reads an operator back, on the CPU.

    Args:
        arrays: What :func:`to_arrays` returned, not empty.

    Raises:
        MalformedFile: The arrays are not what ``to_arrays`` writes.
    """
    try:
        return _Reader(arrays).operator()
    except MalformedFile:
        raise
    except (UsageError, LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _malformed(f"{type(error).__name__}: {error}") from error


def _malformed(found: str) -> MalformedFile:
    line = " ".join(found.split())[:200]
    return MalformedFile(f"stored linear part: expected arrays of to_arrays, got {line}")


# ---- what each kind is made of: constructor arguments, which are attributes of the same name ----


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) > _LARGEST:
        raise _malformed(f"{value!r} in place of a whole number of moderate size")
    return value


def _optional_integer(value: Any) -> int | None:
    return None if value is None else _integer(value)


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list):
        raise _malformed(f"{type(values).__name__} in place of a list of numbers")
    return tuple(_integer(value) for value in values)


def _sizes(values: Any) -> tuple[int, ...]:
    sizes = _integers(values)
    if any(size < 1 for size in sizes) or math.prod(sizes) > _LARGEST:
        raise _malformed(f"a shape {sizes} out of range")
    return sizes


def _rows(values: Any) -> list[tuple[int, ...]]:
    if not isinstance(values, list):
        raise _malformed(f"{type(values).__name__} in place of a list of pairs")
    return [_integers(value) for value in values]


_SETTINGS: dict[type[LinearOperator], dict[str, Callable[[Any], Any]]] = {
    Dense: {"in_shape": _sizes, "out_shape": _sizes},
    Convolution: {
        "in_shape": _sizes,
        "stride": _integers,
        "padding": _rows,
        "dilation": _integers,
        "groups": _integer,
    },
    Diagonal: {"in_shape": _sizes},
    Pooling: {"in_shape": _sizes},
    Gather: {"in_shape": _sizes},
    Reshape: {"in_shape": _sizes, "out_shape": _sizes},
    Permute: {"in_shape": _sizes, "dims": _integers},
    Pad: {"in_shape": _sizes, "amounts": _rows},
    Select: {"in_shape": _sizes, "slices": _rows},
    Product: {},
    Stack: {"dim": _optional_integer},
    Sum: {},
    Repeated: {"times": _sizes},
}
_SETTINGS[PatchConvolution] = _SETTINGS[Convolution]

_TENSORS: dict[type[LinearOperator], str] = {
    Dense: "matrix",
    Convolution: "weight",
    PatchConvolution: "weight",
    Diagonal: "scale",
    Pooling: "factors",
    Gather: "index",
}
_CHILDREN: dict[type[LinearOperator], str] = {
    Product: "factors",
    Stack: "operators",
    Sum: "operators",
    Repeated: "operator",
}
_WITHOUT_NUMBERS = (Gather, Reshape, Permute, Pad, Select)
_KINDS = {kind.__name__: kind for kind in _SETTINGS}


# ---- writing ----


def _write(operator: LinearOperator, arrays: Arrays) -> dict[str, Any] | None:
    """Returns the header of one operator and appends its numbers; None if it has no kind."""
    kind = type(operator)
    if kind not in _SETTINGS:
        return None
    record: dict[str, Any] = {name: getattr(operator, name) for name in _SETTINGS[kind]}
    record["kind"] = kind.__name__
    if kind in _TENSORS:
        tensors = getattr(operator, _TENSORS[kind])
        tensors = tensors if isinstance(tensors, tuple) else (tensors,)
        record["arrays"] = [_append(arrays, tensor) for tensor in tensors]
    if kind in _CHILDREN:
        children = getattr(operator, _CHILDREN[kind])
        children = children if isinstance(children, tuple) else (children,)
        written = [_write(child, arrays) for child in children]
        if None in written:
            return None
        record["children"] = written
    return record


def _append(arrays: Arrays, tensor: Tensor) -> str:
    name = str(len(arrays))
    arrays[name] = np.ascontiguousarray(tensor.detach().cpu().numpy())
    return name


# ---- reading ----


class _Reader:
    """Builds the tree of operators from a header, checking every value."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        header = arrays[_HEADER]
        if header.dtype != np.uint8 or header.ndim != 1 or header.size > _HEADER_LIMIT:
            raise _malformed("a header that is not a short row of bytes")
        document = json.loads(header.tobytes())
        if not isinstance(document, dict) or document.get("version") != _VERSION:
            raise _malformed(f"no header of version {_VERSION}")
        self.arrays = arrays
        self.dtype = _DTYPES[document["dtype"]]
        self.root = document["root"]
        self.nodes = 0
        # One tensor for each array, however often the header names it.
        self.tensors: dict[str, Tensor] = {}

    def operator(self) -> LinearOperator:
        return self._read(self.root, 0)

    def _read(self, record: Any, depth: int) -> LinearOperator:
        self.nodes += 1
        if depth > _DEEPEST or self.nodes > _MOST_NODES or not isinstance(record, dict):
            raise _malformed("a tree of operators that is too deep, too large, or no tree")
        kind = _KINDS[record["kind"]]
        settings = {name: check(record[name]) for name, check in _SETTINGS[kind].items()}
        if kind in _TENSORS:
            tensors = [self._tensor(name, kind) for name in record["arrays"]]
            settings[_TENSORS[kind]] = tensors if kind is Pooling else _only(tensors)
        if kind in _WITHOUT_NUMBERS:
            settings["dtype"] = self.dtype
        operator: LinearOperator
        if kind in _CHILDREN:
            children = [self._read(child, depth + 1) for child in record["children"]]
            operator = _composed(kind, children, settings)
        else:
            operator = kind(**settings)
        if max(operator.n, operator.m, _padded_size(operator)) > _LARGEST:
            raise _malformed(f"an operator of shape {operator.shape}")
        return operator

    def _tensor(self, name: Any, kind: type[LinearOperator]) -> Tensor:
        if name not in self.tensors:
            array = self.arrays[name]
            wanted = np.dtype(np.int64 if kind is Gather else str(self.dtype).split(".")[1])
            if array.dtype != wanted or not np.isfinite(array).all():
                raise _malformed(f"an array of {array.dtype} where finite {wanted} belongs")
            self.tensors[name] = torch.from_numpy(np.array(array))
        return self.tensors[name]


def _composed(
    kind: type[LinearOperator], children: list[LinearOperator], settings: dict[str, Any]
) -> LinearOperator:
    if kind is Product:
        return Product(*children)
    if kind is Repeated:
        return Repeated(_only(children), **settings)
    return Stack(children, **settings) if kind is Stack else Sum(children)


def _only(values: list[Any]) -> Any:
    (value,) = values
    return value


def _padded_size(operator: LinearOperator) -> int:
    """Returns how many entries a convolution's padded input has; 0 for other operators."""
    if not isinstance(operator, Convolution):
        return 0
    sizes = zip(operator.in_shape[1:], operator.padding, strict=True)
    return operator.in_shape[0] * math.prod(size + sum(pair) for size, pair in sizes)
