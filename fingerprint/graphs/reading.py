"""Reads an ONNX file: refuses what is not plain, and fills in what lies in other files.

Runs only in the process of :mod:`fingerprint.graphs.child`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from fingerprint.errors import MalformedFile, UnsafeFile
from fingerprint.text import clean, first_line, listed

__all__ = ["MAX_BYTES", "external_files", "fill", "inner_graphs", "nodes", "parse", "plain"]

MAX_BYTES = 2**31 - 2**20
"""Largest network, with what lies in other files: what a protobuf can hold, less a margin."""

_BUILT_IN = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")
"""Domains whose operators are part of ONNX Runtime itself."""


def parse(data: bytes) -> Any:
    """Returns the network in a file's bytes, as an ``onnx.ModelProto``.

    Raises:
        MalformedFile: It holds none.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        # The parser's own error classes differ between its releases.
        raise MalformedFile(
            f"truncated or corrupt: it does not parse as an ONNX network ({first_line(error)}); "
            "download or export it again"
        ) from error
    if not model.graph.node or not model.graph.output:
        raise MalformedFile("expected an ONNX network, got a graph without nodes or outputs")
    return model


def external_files(model: Any) -> list[str]:
    """Returns where the numbers lie that are not in the file itself, each place once."""
    places = (_entries(tensor).get("location", "") for tensor in _elsewhere(model))
    return list(dict.fromkeys(places))


def fill(model: Any, files: Mapping[str, bytes]) -> None:
    """Puts the numbers of other files where they belong.

    Args:
        model: Is changed.
        files: The content of each of :func:`external_files`.

    Raises:
        MalformedFile: They lie beyond the end of their file.
        UnsafeFile: They are more than a network may have, as where many read one file.
    """
    from onnx import TensorProto

    total = 0
    for tensor in _elsewhere(model):
        entries = _entries(tensor)
        content = files[entries.get("location", "")]
        try:
            begin = int(entries.get("offset", 0))
            size = int(entries.get("length", len(content) - begin))
        except ValueError as error:
            raise MalformedFile(f"expected sizes of external data, got {error}") from error
        if begin < 0 or size < 0 or begin + size > len(content):
            raise MalformedFile(
                f"expected {size} bytes of external data at {begin}, the file has {len(content)}: "
                "truncated? download it again"
            )
        total += size
        if total > MAX_BYTES:
            raise UnsafeFile(f"expected at most {MAX_BYTES} bytes of external data, got more")
        least = _least_size(tensor)
        if size < least:
            raise MalformedFile(
                f"expected {least} bytes of external data for '{clean(tensor.name)}', got {size}: "
                "truncated? download it again"
            )
        tensor.raw_data = content[begin : begin + size]
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def plain(model: Any) -> Any:
    """Returns a network whose operators are all built in, with its local functions written out.

    Raises:
        UnsafeFile: It has operators that are somebody's code.
    """
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    strange = {f"{node.domain}.{node.op_type}" for node in nodes(model.graph)
               if node.domain not in _BUILT_IN}  # fmt: skip
    if strange:
        raise UnsafeFile(
            f"expected operators of ONNX and ONNX Runtime, got {listed(sorted(strange))}: custom "
            "operators are code and are not run; export the network without them"
        )
    return model


def nodes(graph: Any) -> Iterator[Any]:
    """Yields the nodes of a graph and of the graphs within it."""
    for node in graph.node:
        yield node
        for inner in inner_graphs(node):
            yield from nodes(inner)


def inner_graphs(node: Any) -> Iterator[Any]:
    """Yields the graphs that a node holds as attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _elsewhere(model: Any) -> Iterator[Any]:
    """Yields the tensors whose numbers lie in another file."""
    from onnx import TensorProto

    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        tensors = list(getattr(graph, "initializer", ()))
        for sparse in getattr(graph, "sparse_initializer", ()):
            tensors += [sparse.values, sparse.indices]
        for node in graph.node:
            graphs += inner_graphs(node)
            for attribute in node.attribute:
                tensors += [attribute.t] if attribute.HasField("t") else []
                tensors += attribute.tensors
        yield from (one for one in tensors if one.data_location == TensorProto.EXTERNAL)


def _least_size(tensor: Any) -> int:
    """Returns how many bytes the numbers of a tensor take at least."""
    from onnx import helper

    try:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, TypeError, ValueError):
        return 0
    if kind.hasobject:
        return 0
    # Of the types that NumPy does not have some are packed, down to two bits.
    bits: int = 8 * kind.itemsize if kind.isbuiltin == 1 else 2
    values: int = math.prod(tensor.dims)
    return values * bits // 8


def _entries(tensor: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}
