"""Operators written as arrays and read back; hostile arrays refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fingerprint.errors import MalformedFile
from fingerprint.operators import (
    Convolution,
    Dense,
    Diagonal,
    Gather,
    LinearOperator,
    Pad,
    Permute,
    Product,
    Repeated,
    Reshape,
    Select,
    Stack,
    Sum,
    Traced,
    average_pooling,
    from_arrays,
    linear_operator,
    storage,
    to_arrays,
)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


OPERATORS: dict[str, LinearOperator] = {
    "dense": Dense(random(3, 4), (2, 2), (3, 1)),
    "convolution": Convolution(
        random(4, 1, 3, 2),
        (2, 5, 6),
        stride=(1, 2),
        padding=((1, 0), (2, 1)),
        dilation=(1, 2),
        groups=2,
    ),
    "patches": linear_operator(nn.Conv2d(3, 4, 2, stride=2), (3, 6, 6)),
    "diagonal": Diagonal(random(2, 1), (2, 3)),
    "pooling": average_pooling((2, 5, 5), 3, 2, 1),
    "gather": Gather((2, 2), torch.tensor([3, -1, 0])),
    "reshape": Reshape((2, 3), (6,)),
    "permute": Permute((2, 3), (1, 0)),
    "pad": Pad((2, 3), [(1, 0), (0, 2)]),
    "select": Select((5,), [slice(1, 5, 2)]),
    "tree": Stack(
        (
            Product(Reshape((2, 2), (4,)), Dense(random(4, 6), (2, 3), (2, 2))),
            Sum((Dense(random(5, 6), (2, 3)), Dense(random(5, 6), (2, 3)))),
            Product(
                Dense(random(1, 8)), Reshape((2, 4), (8,)), Repeated(Dense(random(4, 3)), (2,))
            ),
        )
    ),
    "stack along an axis": Stack((Dense(random(2, 3)), Dense(random(4, 3))), dim=0),
    "single precision": Dense(torch.randn(2, 3)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_survives_storage_bit_for_bit(name: str) -> None:
    operator = OPERATORS[name]
    file = io.BytesIO()
    np.savez(file, **to_arrays(operator))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        read = from_arrays(dict(arrays))
    assert type(read) is type(operator)
    assert (read.in_shape, read.out_shape) == (operator.in_shape, operator.out_shape)
    assert read.dtype == operator.dtype
    assert torch.equal(read.to_dense(), operator.to_dense())
    assert repr(read) == repr(operator)


@pytest.mark.parametrize(
    "operator",
    [
        Traced(lambda x: 2 * x, (3,)),
        Stack((Dense(random(2, 3)), Traced(lambda x: x.cumsum(0), (3,)))),
        Dense(torch.zeros(2, 3, dtype=torch.bfloat16)),
    ],
)
def test_what_is_not_plain_data_is_not_stored(operator: LinearOperator) -> None:
    assert to_arrays(operator) == {}


def test_what_is_too_large_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "STORAGE_LIMIT", 95)
    assert to_arrays(Dense(random(3, 4))) == {}


def test_reading_does_not_hold_on_to_the_arrays_given() -> None:
    arrays = to_arrays(Dense(random(2, 3)))
    read = from_arrays(arrays)
    before = read.to_dense().clone()
    arrays["0"] = np.zeros((2, 3))
    assert torch.equal(read.to_dense(), before)


# ---- hostile arrays ----

GOOD = OPERATORS["tree"]


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Returns the arrays of a good operator, its header's root changed."""
    arrays = to_arrays(OPERATORS["convolution"])
    document = json.loads(arrays["header"].tobytes())
    change(document)
    arrays["header"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    return arrays


def deep() -> dict[str, Any]:
    arrays = to_arrays(OPERATORS["reshape"])
    document = json.loads(arrays["header"].tobytes())
    for _ in range(200):
        document["root"] = {"kind": "Product", "children": [document["root"]]}
    arrays["header"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    return arrays


def wide() -> dict[str, Any]:
    arrays = to_arrays(OPERATORS["reshape"])
    document = json.loads(arrays["header"].tobytes())
    document["root"] = {"kind": "Sum", "children": [document["root"]] * 2000}
    arrays["header"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    return arrays


def header(text: bytes) -> dict[str, Any]:
    return {"header": np.frombuffer(text, dtype=np.uint8)}


def with_numbers(array: Any) -> dict[str, Any]:
    return {**to_arrays(OPERATORS["convolution"]), "0": array}


def root(**values: Any) -> dict[str, Any]:
    return changed(lambda document: document["root"].update(values))


HOSTILE: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing": dict,
    "header of floats": lambda: {"header": np.zeros(4)},
    "header of two dimensions": lambda: {"header": np.zeros((2, 2), dtype=np.uint8)},
    "huge header": lambda: {"header": np.zeros(2**21, dtype=np.uint8)},
    "no JSON": lambda: header(b"\x80\x04cposix\nsystem"),
    "JSON list": lambda: header(b"[]"),
    "nested JSON": lambda: header(b"[" * 200_000),
    "not a number in JSON": lambda: root(groups=float("nan")),
    "other version": lambda: changed(lambda d: d.update(version=2)),
    "no root": lambda: changed(lambda d: d.pop("root")),
    "root that is no tree": lambda: changed(lambda d: d.update(root=[1])),
    "unknown precision": lambda: changed(lambda d: d.update(dtype="object")),
    "other precision": lambda: changed(lambda d: d.update(dtype="float32")),
    "unknown kind": lambda: root(kind="Traced"),
    "kind that is no name": lambda: root(kind={}),
    "children of a leaf": lambda: root(kind="Product", children=[]),
    "array that is missing": lambda: root(arrays=["7"]),
    "header as array": lambda: root(arrays=["header"]),
    "two arrays": lambda: root(arrays=["0", "0"]),
    "array name that is no name": lambda: root(arrays=[["0"]]),
    "negative shape": lambda: root(in_shape=[2, -5, -6]),
    "huge shape": lambda: root(in_shape=[2, 2**40, 2**40]),
    "huge padding": lambda: root(padding=[[2**25, 0], [2**25, 0]]),
    "huge stride": lambda: root(stride=[2**70, 1]),
    "boolean stride": lambda: root(stride=[True, True]),
    "text stride": lambda: root(stride="11"),
    "padding of three": lambda: root(padding=[[1, 2, 3], [1, 2]]),
    "kernel larger than the input": lambda: root(in_shape=[2, 1, 1], padding=[[0, 0], [0, 0]]),
    "deep tree": deep,
    "wide tree": wide,
    "numbers that are not finite": lambda: with_numbers(np.full((4, 1, 3, 2), np.nan)),
    "numbers of objects": lambda: with_numbers(np.full((4, 1, 3, 2), None)),
    "complex numbers": lambda: with_numbers(np.zeros((4, 1, 3, 2), dtype=complex)),
    "numbers of another shape": lambda: with_numbers(np.zeros((4, 6))),
    "position outside": lambda: {**to_arrays(OPERATORS["gather"]), "0": np.array([4])},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_arrays_that_storage_never_writes_are_refused(name: str) -> None:
    with pytest.raises(MalformedFile) as caught:
        from_arrays(HOSTILE[name]())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
