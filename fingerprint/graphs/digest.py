"""One digest for one graph, whatever its values are called and whoever wrote the file.

Every value is hashed by what it is made of: an operator, its attributes and the hashes of what
goes in; an initialiser by its type, shape and numbers. The digest is that of the outputs. So names,
documentation, producers, metadata, the order of nodes, and what no output depends on do not
enter, and neither does whether numbers lie in an initialiser, a ``Constant`` or another file.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from fingerprint.errors import MalformedFile
from fingerprint.graphs.reading import inner_graphs, nodes
from fingerprint.text import clean

__all__ = ["graph_digest"]

_VERSION = b"nullprint onnx 1\n"
_NOTHING = b"nothing"


def graph_digest(model: Any) -> str:
    """Computes the content digest of a network.

    Args:
        model: An ``onnx.ModelProto`` without local functions, its external data loaded.

    Returns:
        SHA-256 in hex.

    Raises:
        MalformedFile: Nothing makes a value that is used, or the graph has a cycle.
    """
    used = {_domain(node) for node in nodes(model.graph)}
    opsets = {_domain(opset): opset.version for opset in model.opset_import}
    meanings = sorted(f"{domain}:{opsets.get(domain, 0)}" for domain in used)
    return _hash("network", *meanings, _graph(model.graph, {}, depth=0)).hex()


def _graph(graph: Any, outer: Mapping[str, bytes], depth: int) -> bytes:
    """Hashes a graph whose nodes may use the values of those around it."""
    known = dict(outer)
    held = {tensor.name: _tensor(tensor) for tensor in graph.initializer}
    held |= {sparse.values.name: _sparse(sparse) for sparse in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in held]
    for index, value in enumerate(inputs):
        known[value.name] = _hash("input", str(depth), str(index), _kind(value.type))
    known |= held
    for node in _in_order(graph):
        made = _node(node, known, depth)
        known |= {name: value for name, value in zip(node.output, made, strict=True) if name}
    kinds = [_kind(value.type) for value in inputs]
    outputs = [_looked_up(known, value.name) for value in graph.output]
    return _hash("graph", str(len(kinds)), *kinds, *outputs)


def _in_order(graph: Any) -> Iterator[Any]:
    """Yields nodes after those whose values they use; converters leave them in any order."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    needs = {
        index: {makers[name] for name in _used(node) if name in makers}
        for index, node in enumerate(graph.node)
    }
    try:
        for index in TopologicalSorter(needs).static_order():
            yield graph.node[index]
    except CycleError as error:
        raise MalformedFile(
            "expected a graph without cycles, got nodes that need themselves"
        ) from (error)


def _used(node: Any) -> set[str]:
    """Returns the names of the values that a node needs, those of its inner graphs included."""
    names = set(node.input)
    for graph in inner_graphs(node):
        made = {value.name for value in (*graph.input, *graph.initializer)}
        made |= {sparse.values.name for sparse in graph.sparse_initializer}
        made |= {name for one in graph.node for name in one.output}
        names |= {value.name for value in graph.output}.union(*map(_used, graph.node)) - made
    return names


def _node(node: Any, known: Mapping[str, bytes], depth: int) -> list[bytes]:
    """Hashes what a node gives, one for each output."""
    given = [_looked_up(known, name) if name else _NOTHING for name in node.input]
    while given and given[-1] == _NOTHING:  # left out, or named as nothing
        given.pop()
    if node.op_type == "Identity" and len(given) == len(node.output) == 1:
        return given
    attributed = [one.name for one in node.attribute]
    if node.op_type == "Constant" and attributed == ["value"] and len(node.output) == 1:
        return [_tensor(node.attribute[0].t)]
    attributes = sorted(
        _hash("attribute", one.name, _attribute(one, known, depth)) for one in node.attribute
    )
    own = _hash("node", _domain(node), node.op_type, str(len(given)), *given, *attributes)
    return [_hash("output", own, str(index)) for index in range(len(node.output))]


def _domain(one: Any) -> str:
    """Returns whose operators are meant; the standard's own are written in two ways."""
    return "" if one.domain == "ai.onnx" else str(one.domain)


def _attribute(attribute: Any, known: Mapping[str, bytes], depth: int) -> bytes:
    from onnx import AttributeProto

    kind = attribute.type
    graphs = {AttributeProto.GRAPH: [attribute.g], AttributeProto.GRAPHS: attribute.graphs}
    if kind in graphs:
        return _hash("graphs", *(_graph(one, known, depth + 1) for one in graphs[kind]))
    tensors = {AttributeProto.TENSOR: [attribute.t], AttributeProto.TENSORS: attribute.tensors}
    if kind in tensors:
        return _hash("tensors", *map(_tensor, tensors[kind]))
    texts = {AttributeProto.STRING: [attribute.s], AttributeProto.STRINGS: attribute.strings}
    if kind in texts:
        return _hash("texts", *texts[kind])
    numbers = {
        AttributeProto.INT: ("q", [attribute.i]),
        AttributeProto.INTS: ("q", attribute.ints),
        AttributeProto.FLOAT: ("f", [attribute.f]),
        AttributeProto.FLOATS: ("f", attribute.floats),
    }
    if kind in numbers:
        code, values = numbers[kind]
        return _hash(code, struct.pack(f"<{len(values)}{code}", *values))
    return _hash("other", attribute.SerializeToString(deterministic=True))


def _tensor(tensor: Any) -> bytes:
    from onnx import TensorProto, numpy_helper

    kind = TensorProto.DataType.Name(tensor.data_type)
    shape = ",".join(map(str, tensor.dims))
    if tensor.data_type == TensorProto.STRING:
        return _hash("tensor", kind, shape, *tensor.string_data)
    values = numpy_helper.to_array(tensor)
    return _hash("tensor", kind, shape, values.astype(values.dtype.newbyteorder("<")).tobytes())


def _sparse(sparse: Any) -> bytes:
    shape = ",".join(map(str, sparse.dims))
    return _hash("sparse", shape, _tensor(sparse.values), _tensor(sparse.indices))


def _kind(kind: Any) -> bytes:
    """Hashes a value's type and sizes; what a size that is open is called does not enter."""
    if not kind.HasField("tensor_type"):
        return _hash("type", str(kind.WhichOneof("value")))
    sizes = [
        str(size.dim_value) if size.HasField("dim_value") else "?"
        for size in kind.tensor_type.shape.dim
    ]
    return _hash("tensor type", str(kind.tensor_type.elem_type), *sizes)


def _looked_up(known: Mapping[str, bytes], name: str) -> bytes:
    if name not in known:
        raise MalformedFile(
            f"expected a whole graph, got a use of '{clean(name)}', which nothing makes; export it "
            "again"
        )
    return known[name]


def _hash(*parts: str | bytes) -> bytes:
    return _of(part.encode() if isinstance(part, str) else part for part in parts)


def _of(parts: Iterable[bytes]) -> bytes:
    """Hashes parts with their lengths, so that no two lists of parts read the same."""
    digest = hashlib.sha256(_VERSION)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
