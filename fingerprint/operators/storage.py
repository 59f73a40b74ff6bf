"""An operator as plain arrays, and back: what is kept of a model's first affine segment.

The arrays hold a JSON header (``uint8``, the tree of operators with their settings) and the
numbers. Kept is an operator that answers every input as strongly; in which order its outputs
stand is not. Reading treats the arrays as hostile: only known kinds, settings of the right type,
finite floating-point numbers, bounded sizes; nothing is evaluated or unpickled. It knows more
kinds than are written, those of earlier releases.

    arrays = to_arrays(segment.operator)    # {"header": ..., "0": ...}; {} if not storable
    operator = from_arrays(arrays)
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fingerprint.errors import MalformedFile, UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import (
    Product,
    Repeated,
    Sum,
    compose,
    entry_map,
    factors_of,
    stacked,
)
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.entries import Diagonal, Entries, simplest
from fingerprint.operators.pooling import Pooling

__all__ = ["STORAGE_LIMIT", "from_arrays", "to_arrays"]

STORAGE_LIMIT = 2**26
"""Largest number of bytes of arrays that are written for one operator (64 MiB)."""

_VERSION = 1
_HEADER = "header"
_HEADER_LIMIT = 2**20
_WRITTEN_OUT = 2**20
"""Most entries of an operator without structure that is written as a matrix (8 MiB)."""

_LARGEST = 2**26
_DEEPEST = 32
_MOST_NODES = 1024
_DTYPES = {"float32": torch.float32, "float64": torch.float64}

Arrays = dict[str, NDArray[Any]]


def to_arrays(operator: LinearOperator) -> Arrays:
    """Writes an operator as arrays.

    Args:
        operator: In float32 or float64.

    Returns:
        Arrays by name; empty for an operator that cannot be stored: one that holds a function
        and is too large for a matrix, of another precision, or with more than ``STORAGE_LIMIT``
        bytes.
    """
    name = str(operator.dtype).removeprefix("torch.")
    arrays: Arrays = {}
    root = _write(_as_strong(operator), arrays) if name in _DTYPES else None
    if root is None and name in _DTYPES and operator.m * operator.n <= _WRITTEN_OUT:
        arrays = {}
        root = _write(Dense(operator.to_dense(), operator.in_shape), arrays)
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
    except (UsageError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
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


_Check = Callable[[Any], Any]

_SETTINGS: dict[str, dict[str, _Check]] = {
    "Dense": {"in_shape": _sizes, "out_shape": _sizes},
    "Convolution": {
        "in_shape": _sizes,
        "stride": _integers,
        "padding": _rows,
        "dilation": _integers,
        "groups": _integer,
    },
    "Diagonal": {"in_shape": _sizes},
    "Pooling": {"in_shape": _sizes},
    "Gather": {"in_shape": _sizes},
    "Product": {},
    "Sum": {},
    "Repeated": {"times": _sizes},
    "Stack": {"dim": _optional_integer},
    # Read only:
    "Reshape": {"in_shape": _sizes, "out_shape": _sizes},
    "Permute": {"in_shape": _sizes, "dims": _integers},
    "Pad": {"in_shape": _sizes, "amounts": _rows},
    "Select": {"in_shape": _sizes, "slices": _rows},
}
_RENAMED = {"PatchConvolution": "Convolution"}
"""What earlier releases called kinds that are others now."""

_TENSORS: dict[type[LinearOperator], str] = {
    Dense: "matrix",
    Convolution: "weight",
    Diagonal: "scale",
    Pooling: "factors",
}


# ---- writing ----


def _as_strong(operator: LinearOperator) -> LinearOperator:
    """Returns an operator with the same ``‖A x‖`` that does not say where outputs stand.

    What moves and scales entries on the left is one factor for each of the entries it reads.
    """
    if isinstance(operator, Sum) and operator.is_apart:
        return stacked([_as_strong(member) for member in operator.operators])
    if isinstance(operator, Repeated):
        return Repeated(_as_strong(operator.operator), operator.times)
    factors = factors_of(operator)
    last: Entries | None = None
    while factors and (moved := entry_map(factors[0])) is not None:
        last = moved if last is None else last.after(moved)
        factors = factors[1:]
    if last is None:
        return operator
    every = torch.arange(last.n, device=last.device)
    strong = simplest(Entries(last.in_shape, every, last.weights()))
    return compose(strong, *factors)


def _write(operator: LinearOperator, arrays: Arrays) -> dict[str, Any] | None:
    """Returns the header of one operator and appends its numbers; None if it has no kind."""
    if isinstance(operator, Product):
        return _tree("Product", operator.factors, arrays)
    if isinstance(operator, Repeated):
        return _tree("Repeated", (operator.operator,), arrays, times=operator.times)
    if isinstance(operator, Sum):
        every = torch.arange(operator.m, device=operator.device)
        if torch.equal(torch.cat(operator.rows), every):
            return _tree("Stack", operator.operators, arrays, dim=None)
        added = all(torch.equal(rows, every) for rows in operator.rows)
        return _tree("Sum", operator.operators, arrays) if added else None
    if isinstance(operator, Entries):
        index = _append(arrays, operator.source.reshape(operator.out_shape))
        moved = {"kind": "Gather", "in_shape": operator.in_shape, "arrays": [index]}
        if operator.scale is None:
            return moved
        scale = Diagonal(operator.factors.reshape(operator.out_shape), operator.out_shape)
        return {"kind": "Product", "children": [_write(scale, arrays), moved]}
    if type(operator) not in _TENSORS:
        return None
    kind = type(operator).__name__
    tensors = getattr(operator, _TENSORS[type(operator)])
    names = [
        _append(arrays, tensor) for tensor in (tensors if type(tensors) is tuple else (tensors,))
    ]
    settings = {name: getattr(operator, name) for name in _SETTINGS[kind]}
    return {"kind": kind, "arrays": names, **settings}


def _tree(kind: str, children: Any, arrays: Arrays, **settings: Any) -> dict[str, Any] | None:
    written = [_write(child, arrays) for child in children]
    return None if None in written else {"kind": kind, "children": written, **settings}


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
        self.moved = 0
        # One tensor for each array, however often the header names it.
        self.tensors: dict[str, Tensor] = {}

    def operator(self) -> LinearOperator:
        return self._read(self.root, 0)

    def _read(self, record: Any, depth: int) -> LinearOperator:
        self.nodes += 1
        if depth > _DEEPEST or self.nodes > _MOST_NODES or not isinstance(record, dict):
            raise _malformed("a tree of operators that is too deep, too large, or no tree")
        kind = str(_RENAMED.get(record["kind"], record["kind"]))
        settings = {name: check(record[name]) for name, check in _SETTINGS[kind].items()}
        if kind in _MOVES:
            return self._moves(kind, **settings)
        if "children" in record:
            children = [self._read(child, depth + 1) for child in record["children"]]
            return _composed(kind, children, **settings)
        tensors = [self._tensor(name, integers=kind == "Gather") for name in record["arrays"]]
        if kind == "Gather":
            self._hold(tensors[0].numel())
            return Entries(settings["in_shape"], _only(tensors), dtype=self.dtype)
        if kind == "Pooling":
            return Pooling(tensors, **settings)
        leaf = next(leaf for leaf in _TENSORS if leaf.__name__ == kind)
        operator = leaf(_only(tensors), **settings)
        if max(operator.n, operator.m, _padded_size(operator)) > _LARGEST:
            raise _malformed(f"an operator of shape {operator.shape}")
        return operator

    def _moves(self, kind: str, in_shape: tuple[int, ...], **settings: Any) -> Entries:
        """Reads a kind that has no numbers of its own by moving numbers."""
        if kind == "Pad":
            amounts = settings["amounts"]
            pairs = zip(in_shape, amounts, strict=True)
            self._hold(math.prod(size + before + after for size, (before, after) in pairs))
            if min(itertools.chain(*amounts)) < 0:
                raise _malformed(f"padding by {amounts}")
        self._hold(math.prod(in_shape))
        every = torch.arange(1, math.prod(in_shape) + 1).reshape(in_shape)
        return Entries(in_shape, _MOVES[kind](every, **settings) - 1, dtype=self.dtype)

    def _hold(self, entries: int) -> None:
        self.moved += entries
        if self.moved > _LARGEST:
            raise _malformed("more entries moved than a segment has")

    def _tensor(self, name: Any, *, integers: bool) -> Tensor:
        if name not in self.tensors:
            array = self.arrays[name]
            wanted = np.dtype(np.int64 if integers else str(self.dtype).split(".")[1])
            if array.dtype != wanted or not np.isfinite(array).all():
                raise _malformed(f"an array of {array.dtype} where finite {wanted} belongs")
            self.tensors[name] = torch.from_numpy(np.array(array))
        return self.tensors[name]


_MOVES: dict[str, Callable[..., Tensor]] = {
    "Reshape": lambda x, out_shape: x.reshape(out_shape),
    "Permute": lambda x, dims: x.permute(dims),
    "Pad": lambda x, amounts: functional.pad(x, [a for pair in reversed(amounts) for a in pair]),
    "Select": lambda x, slices: x[tuple(slice(*bounds) for bounds in slices)],
}


def _composed(kind: str, children: list[LinearOperator], **settings: Any) -> LinearOperator:
    if kind == "Product":
        return Product(*children)
    if kind == "Repeated":
        repeated = Repeated(_only(children), **settings)
        if max(repeated.n, repeated.m) > _LARGEST:
            raise _malformed(f"an operator of shape {repeated.shape}")
        return repeated
    if kind == "Sum":
        return Sum(children)
    return _stacked(children, **settings)


def _stacked(operators: list[LinearOperator], dim: int | None) -> Sum:
    shapes = [(o.m,) if dim is None else o.out_shape for o in operators]
    axis = 0 if dim is None else dim
    sizes = [shape[axis] for shape in shapes]
    shape = (*shapes[0][:axis], sum(sizes), *shapes[0][axis + 1 :])
    numbers = torch.arange(math.prod(shape)).reshape(shape)
    return Sum(operators, [part.reshape(-1) for part in torch.split(numbers, sizes, axis)], shape)


def _only(values: list[Any]) -> Any:
    (value,) = values
    return value


def _padded_size(operator: LinearOperator) -> int:
    """Returns how many entries a convolution's padded input has; 0 for other operators."""
    if not isinstance(operator, Convolution):
        return 0
    sizes = zip(operator.in_shape[1:], operator.padding, strict=True)
    return operator.in_shape[0] * math.prod(size + sum(pair) for size, pair in sizes)
