"""Turns an ONNX graph into a module of PyTorch, for what ONNX Runtime does not give: gradients.

A converter may be wrong, and silently: one of two that were tried was, on transformers. So what
comes of it is only used where its answers and gradients were compared with ONNX Runtime; see
:mod:`fingerprint.suspects.onnx_model`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn

from fingerprint.errors import IncompatibleModel
from fingerprint.graphs.reading import inner_graphs, nodes, parse
from fingerprint.text import first_line

__all__ = ["converted"]


def converted(data: bytes, *, batch: int | None) -> nn.Module:
    """Converts a network, in this process.

    Args:
        data: A serialised ``onnx.ModelProto``, as :attr:`OnnxProcess.content` has it.
        batch: How many inputs it was exported for; None for any number.

    Returns:
        A module that takes what the graph takes, any number of them where the graph allows it.

    Raises:
        IncompatibleModel: The converter is not installed, or does not know an operator.
    """
    try:
        from onnx2pytorch import ConvertModel
    except ImportError as error:
        raise IncompatibleModel(
            "the converter is not installed: pip install 'nullprint[onnx]'"
        ) from error
    model = parse(data)
    _name_without_dots(model.graph)
    _store_constants(model.graph)
    _leave_out_defaults(model.graph)
    _name_once(model.graph)
    _write_shapes(model.graph, batch)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            module: nn.Module = ConvertModel(model).eval()
    except Exception as error:
        # What it does not know, it says with whatever error comes first.
        raise IncompatibleModel(f"the converter does not take it: {first_line(error)}") from error
    return module.requires_grad_(False)


def _name_without_dots(graph: Any) -> None:
    """Names values otherwise where a name has a dot: as a module's it would be read as a path.

    The network ran, but nothing in it was found, so that only its answers were a depth.
    """
    names = {name for node in nodes(graph) for name in (*node.input, *node.output)}
    names |= {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    plain = {name: name for name in names}
    for name in sorted(name for name in names if "." in name):
        other = name.replace(".", "_")
        while other in names:
            other += "_"
        names.add(other)
        plain[name] = other
    _rename(graph, plain)


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        for inner in inner_graphs(node):
            _rename(inner, names)


def _store_constants(graph: Any) -> None:
    """Makes tensors that nodes give initialisers, where the converter looks for weights.

    Exporters of Paddle write every weight as a ``Constant``.
    """
    from onnx import numpy_helper

    kept = []
    for node in graph.node:
        if node.op_type != "Constant" or node.attribute[0].name != "value":
            kept.append(node)
            continue
        array = numpy_helper.to_array(node.attribute[0].t)
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)


def _leave_out_defaults(graph: Any) -> None:
    """Drops from batch norms that they do not learn, which the converter does not know to say."""
    for node in graph.node:
        kept = [one for one in node.attribute if (one.name, one.i) != ("training_mode", 0)]
        del node.attribute[:]
        node.attribute.extend(kept)


def _name_once(graph: Any) -> None:
    """Gives a value that is another's ``Identity`` that one's name, which the converter needs.

    Exporters write weights that are equal, such as those of two fresh layers, only once.
    """
    results = {value.name for value in graph.output}
    same: dict[str, str] = {}
    kept = []
    for node in graph.node:
        if node.op_type == "Identity" and node.output[0] not in results:
            same[node.output[0]] = same.get(node.input[0], node.input[0])
            continue
        node.input[:] = [same.get(name, name) for name in node.input]
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _write_shapes(graph: Any, batch: int | None) -> None:
    """Writes the sizes of reshapes as attributes, which makes them known before anything runs.

    Where one states the batch size of the export, it keeps whatever comes (a size of 0).
    """
    from onnx import helper, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        sizes = numpy_helper.to_array(constants[node.input[1]]).tolist()
        literal = any(one.name == "allowzero" and one.i for one in node.attribute)
        if literal and 0 in sizes:
            continue
        if len(sizes) > 1 and sizes[0] == batch:
            sizes[0] = 0
        del node.input[1:], node.attribute[:]
        node.attribute.append(helper.make_attribute("shape", sizes))
