"""A digest is that of what a graph computes with, whatever its values are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fingerprint.errors import MalformedFile
from fingerprint.graphs.digest import graph_digest
from fingerprint.graphs.process import OnnxProcess
from tests.support.onnx_files import LINEAR, WEIGHTS, export, graph, onnx, save, tensor, value

pytestmark = pytest.mark.onnx

PLAIN = graph_digest(graph())


def renamed() -> Any:
    return graph(
        ("Flatten", ["picture"], ["row"]),
        ("MatMul", ["row", "w"], ["scores"]),
        inputs=[value("picture", ["batch", 1, 16, 16])],
        outputs=[value("scores", ["batch", 10])],
    )


def told() -> Any:
    model = graph(producer_name="somebody", producer_version="9", doc_string="ours")
    model.graph.name = model.graph.doc_string = "named"
    model.graph.node[0].name, model.graph.node[0].doc_string = "first", "flattens"
    onnx.helper.set_model_props(model, {"licence": "none"})
    return model


def constant() -> Any:
    model = graph(("Constant", [], ["k"], {"value": tensor("", WEIGHTS)}), LINEAR[0],
                  ("MatMul", ["f", "k"], ["y"]))  # fmt: skip
    del model.graph.initializer[:]
    return model


def unsorted() -> Any:
    return graph(*reversed(LINEAR))


def aliased() -> Any:
    return graph(LINEAR[0], ("Identity", ["w"], ["v"]), ("MatMul", ["f", "v"], ["y"]))


def unused() -> Any:
    return graph(*LINEAR, ("Relu", ["f"], ["z"]), initialisers=[tensor("k", np.ones(3))])


def written_out() -> Any:
    """The same numbers as a list of floats instead of bytes."""
    model = graph()
    weights = onnx.helper.make_tensor("w", 1, WEIGHTS.shape, WEIGHTS.reshape(-1).tolist())
    model.graph.initializer[0].CopyFrom(weights)
    return model


def otherwise_imported() -> Any:
    model = graph()
    model.opset_import[0].domain = "ai.onnx"
    del model.opset_import[1]
    return model


@pytest.mark.parametrize(
    "make",
    [renamed, told, constant, unsorted, aliased, unused, written_out, otherwise_imported],
)
def test_what_changes_no_answer_does_not_enter(make: Callable[[], Any]) -> None:
    assert graph_digest(make()) == PLAIN


def heavier() -> Any:
    model = graph()
    weights = WEIGHTS.copy()
    weights[3, 4] = np.nextafter(weights[3, 4], 9, dtype=np.float32)
    model.graph.initializer[0].CopyFrom(tensor("w", weights))
    return model


def other_opset() -> Any:
    model = graph()
    model.opset_import[0].version = 17
    return model


@pytest.mark.parametrize(
    "make",
    [
        heavier,
        other_opset,
        lambda: graph(("Flatten", ["x"], ["f"], {"axis": 2}), LINEAR[1]),
        lambda: graph(LINEAR[0], ("MatMul", ["f", "w"], ["r"]), ("Relu", ["r"], ["y"])),
        lambda: graph(*LINEAR, outputs=[value("y", ["n", 10]), value("f", ["n", 256])]),
        lambda: graph(inputs=[value("x", [1, 1, 16, 16])]),
        lambda: graph(inputs=[value("x", ["n", 1, 16, 16], "FLOAT16")]),
    ],
)
def test_what_changes_answers_enters(make: Callable[[], Any]) -> None:
    assert graph_digest(make()) != PLAIN


def branching(weight: str, inner: str) -> Any:
    """A graph whose branches use a value of the graph around them."""
    branches = [
        onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["f", weight], [inner])],
            name,
            [],
            [value(inner, None)],
        )
        for name in ("a", "b")
    ]
    attributes = {"then_branch": branches[0], "else_branch": branches[1]}
    return graph(
        ("If", ["c"], ["y"], attributes),
        LINEAR[0],
        initialisers=[tensor("c", np.array(True)), tensor("v", WEIGHTS[::-1].copy())],
    )


def test_a_branch_is_known_by_the_values_it_takes_from_around_it() -> None:
    plain = graph_digest(branching("w", "inner"))
    assert plain == graph_digest(branching("w", "y"))  # a name that means something else outside
    assert plain != graph_digest(branching("v", "inner"))


def test_a_cycle_and_a_value_that_nothing_makes_are_refused() -> None:
    with pytest.raises(MalformedFile, match="without cycles"):
        graph_digest(graph(("Add", ["x", "b"], ["a"]), ("Relu", ["a"], ["b"]), *LINEAR))
    with pytest.raises(MalformedFile, match="'nobody', which nothing makes"):
        graph_digest(graph(("Flatten", ["nobody"], ["f"]), LINEAR[1]))


def test_external_data_and_local_functions_do_not_enter(tmp_path: Path, trained_cnn: Any) -> None:
    options: dict[str, Any] = {"dynamo": True, "dynamic": False}
    inside = export(trained_cnn, tmp_path / "one.onnx", external_data=False, **options)
    beside = export(trained_cnn, tmp_path / "two.onnx", external_data=True, **options)
    assert (tmp_path / "two.onnx.data").exists()
    digests = [OnnxProcess(str(file)).facts["digest"] for file in (inside, beside)]
    assert digests[0] == digests[1]

    made = onnx.helper.make_node
    function = onnx.helper.make_function(
        "ours", "Linear", ["a", "b"], ["c"],
        [made("Flatten", ["a"], ["r"]), made("MatMul", ["r", "b"], ["c"])],
        [onnx.helper.make_opsetid("", 18)],
    )  # fmt: skip
    model = graph(("Linear", ["x", "w"], ["y"], {"domain": "ours"}), functions=[function])
    model.opset_import.append(onnx.helper.make_opsetid("ours", 1))
    file = save(model, tmp_path / "function.onnx")
    assert OnnxProcess(str(file)).facts["digest"] == PLAIN
