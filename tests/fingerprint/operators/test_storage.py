"""Operators written as arrays and read back; hostile arrays refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from fingerprint.errors import MalformedFile
from fingerprint.operators import (
    Convolution,
    Dense,
    Diagonal,
    Entries,
    Linearized,
    LinearOperator,
    Pooling,
    Product,
    Repeated,
    Sum,
    from_arrays,
    stacked,
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
    "patches": Convolution(random(4, 3, 2, 2), (3, 6, 6), stride=2),
    "diagonal": Diagonal(random(2, 1), (2, 3)),
    "pooling": Pooling([random(3, 5), random(2, 5)], (2, 5, 5)),
    "moved in front": Product(
        Dense(random(4, 3)), Entries((5,), torch.tensor([3, -1, 0]), random(3))
    ),
    "batch norm behind": Product(
        Diagonal(random(4, 1, 1), (4, 3, 3)), Convolution(random(4, 1, 3, 3), (1, 5, 5))
    ),
    "moved behind": Product(
        Entries((3,), torch.tensor([[2, -1], [2, 0]]), random(4)), Dense(random(3, 6), (2, 3))
    ),
    "tree": stacked(
        (
            Dense(random(4, 6), (2, 3), (2, 2)),
            Sum((Dense(random(5, 6), (2, 3)), Dense(random(5, 6), (2, 3)))),
            Product(Dense(random(1, 8)), Repeated(Dense(random(4, 3)), (2,))),
        )
    ),
    "single precision": Dense(torch.randn(2, 3)),
    "small function": Linearized(lambda x: x.cumsum(0), (4,)),
}


def through_a_file(arrays: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as read:
        return dict(read)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_answers_as_strongly_after_storage(name: str) -> None:
    operator = OPERATORS[name]
    read = from_arrays(through_a_file(to_arrays(operator)))
    assert read.in_shape == operator.in_shape
    assert read.dtype == operator.dtype
    before, after = operator.to_dense(), read.to_dense()
    torch.testing.assert_close(after.T @ after, before.T @ before)


@pytest.mark.parametrize("name", ["dense", "convolution", "patches", "pooling", "tree"])
def test_layers_and_their_order_survive_storage_bit_for_bit(name: str) -> None:
    operator = OPERATORS[name]
    read = from_arrays(to_arrays(operator))
    assert repr(read) == repr(operator)
    assert torch.equal(read.to_dense(), operator.to_dense())


def test_where_outputs_stand_takes_no_room() -> None:
    embedding = Convolution(random(4, 3, 4, 4), (3, 64, 64), stride=4)
    tokens = Entries.read(lambda x: x.flatten(2).mT, embedding.out_shape)
    arrays = to_arrays(Product(tokens, embedding))
    assert sum(array.nbytes for array in arrays.values()) < 4096 + 4 * 48 * 8


@pytest.mark.parametrize(
    "operator",
    [
        Linearized(lambda x: 2 * x, (2**11,)),
        stacked((Dense(random(2, 2**11)), Linearized(lambda x: x.cumsum(0), (2**11,)))),
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


# ---- arrays of earlier releases ----


def header(root: Any, *arrays: torch.Tensor) -> dict[str, Any]:
    text = json.dumps({"version": 1, "dtype": "float64", "root": root}).encode()
    numbers = {str(place): array.numpy() for place, array in enumerate(arrays)}
    return {"header": np.frombuffer(text, dtype=np.uint8), **numbers}


MATRIX, KERNEL, X = random(2, 3), random(4, 3, 2, 2), random(5, 3, 4, 4)
TOKENS = functional.conv2d(X, KERNEL, stride=2).flatten(2).mT
MADE_BEFORE: dict[str, tuple[dict[str, Any], torch.Tensor]] = {
    "tokens behind patches": (
        header(
            {
                "kind": "Product",
                "children": [
                    {"kind": "Pad", "in_shape": [4, 4], "amounts": [[1, 0], [0, 0]]},
                    {"kind": "Permute", "in_shape": [4, 4], "dims": [1, 0]},
                    {"kind": "Reshape", "in_shape": [4, 2, 2], "out_shape": [4, 4]},
                    {
                        "kind": "PatchConvolution",
                        "arrays": ["0"],
                        "in_shape": [3, 4, 4],
                        "stride": [2, 2],
                        "padding": [[0, 0], [0, 0]],
                        "dilation": [1, 1],
                        "groups": 1,
                    },
                ],
            },
            KERNEL,
        ),
        functional.pad(TOKENS, (0, 0, 1, 0)),
    ),
    "selected and repeated": (
        header(
            {
                "kind": "Product",
                "children": [
                    {
                        "kind": "Repeated",
                        "times": [3, 2],
                        "children": [
                            {
                                "kind": "Dense",
                                "arrays": ["0"],
                                "in_shape": [3],
                                "out_shape": [2],
                            }
                        ],
                    },
                    {
                        "kind": "Select",
                        "in_shape": [3, 4, 4],
                        "slices": [[0, 3, 1], [0, 4, 2], [1, 4, 1]],
                    },
                ],
            },
            MATRIX,
        ),
        X[:, :, ::2, 1:] @ MATRIX.T,
    ),
    "two gathered, along an axis": (
        header(
            {
                "kind": "Stack",
                "dim": 1,
                "children": [
                    {"kind": "Gather", "arrays": ["0"], "in_shape": [3, 4, 4]},
                    {
                        "kind": "Sum",
                        "children": [{"kind": "Gather", "arrays": ["1"], "in_shape": [3, 4, 4]}]
                        * 2,
                    },
                ],
            },
            torch.tensor([[0, -1], [5, 5]]),
            torch.tensor([[7], [8]]),
        ),
        torch.stack(
            [
                X.flatten(1)[:, 0],
                torch.zeros(5),
                2 * X.flatten(1)[:, 7],
                X.flatten(1)[:, 5],
                X.flatten(1)[:, 5],
                2 * X.flatten(1)[:, 8],
            ],
            dim=1,
        ).reshape(5, 2, 3),
    ),
}


@pytest.mark.parametrize("name", MADE_BEFORE)
def test_kinds_that_earlier_releases_wrote_are_read(name: str) -> None:
    arrays, expected = MADE_BEFORE[name]
    torch.testing.assert_close(from_arrays(through_a_file(arrays)).matvec(X), expected)


# ---- hostile arrays ----

RESHAPE = {"kind": "Reshape"}


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Returns the arrays of a good operator, its header's root changed."""
    arrays = to_arrays(OPERATORS["convolution"])
    document = json.loads(arrays["header"].tobytes())
    change(document)
    arrays["header"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    return arrays


def deep() -> dict[str, Any]:
    arrays = to_arrays(OPERATORS["dense"])
    document = json.loads(arrays["header"].tobytes())
    for _ in range(200):
        document["root"] = {"kind": "Product", "children": [document["root"]]}
    arrays["header"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    return arrays


def wide() -> dict[str, Any]:
    arrays = to_arrays(OPERATORS["dense"])
    document = json.loads(arrays["header"].tobytes())
    document["root"] = {"kind": "Sum", "children": [document["root"]] * 2000}
    arrays["header"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    return arrays


def raw(text: bytes) -> dict[str, Any]:
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
    "no JSON": lambda: raw(b"\x80\x04cposix\nsystem"),
    "JSON list": lambda: raw(b"[]"),
    "nested JSON": lambda: raw(b"[" * 200_000),
    "not a number in JSON": lambda: root(groups=float("nan")),
    "other version": lambda: changed(lambda d: d.update(version=2)),
    "no root": lambda: changed(lambda d: d.pop("root")),
    "root that is no tree": lambda: changed(lambda d: d.update(root=[1])),
    "unknown precision": lambda: changed(lambda d: d.update(dtype="object")),
    "other precision": lambda: changed(lambda d: d.update(dtype="float32")),
    "unknown kind": lambda: root(kind="Linearized"),
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
    "position outside": lambda: header(
        {"kind": "Gather", "arrays": ["0"], "in_shape": [4]}, torch.tensor([4])
    ),
    "entries moved without end": lambda: header(
        {
            "kind": "Product",
            "children": [{**RESHAPE, "in_shape": [2**25], "out_shape": [2**25]}] * 4,
        }
    ),
    "padding without end": lambda: header(
        {"kind": "Pad", "in_shape": [2, 2], "amounts": [[0, 2**20], [0, 2**20]]}
    ),
    "negative padding": lambda: header({"kind": "Pad", "in_shape": [4], "amounts": [[0, -1]]}),
    "axes that are not there": lambda: header(
        {"kind": "Permute", "in_shape": [4, 2], "dims": [0, 5]}
    ),
    "slices of nothing": lambda: header({"kind": "Select", "in_shape": [4], "slices": [[4, 4, 1]]}),
    "reshape to another size": lambda: header({**RESHAPE, "in_shape": [4], "out_shape": [5]}),
    "members of a stack that differ": lambda: header(
        {"kind": "Stack", "dim": 3, "children": [{**RESHAPE, "in_shape": [4], "out_shape": [4]}]}
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_arrays_that_storage_never_writes_are_refused(name: str) -> None:
    with pytest.raises(MalformedFile) as caught:
        from_arrays(HOSTILE[name]())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
