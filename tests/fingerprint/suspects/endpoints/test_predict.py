"""``:predict`` and MLflow: instances in, predictions out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fingerprint.errors import InputRefused
from fingerprint.suspects.endpoints.predict import predictions
from fingerprint.suspects.endpoints.transport import NoAnswer, Reply
from tests.support.endpoints import SHAPE, close, connected, network, pixels
from tests.support.servers import Said, Seen, Server, mlflow_server, predict_server

EXPECTED = network(np.float32(pixels(11)) / np.float32(255))


@pytest.mark.parametrize("path", ["/v1/models/ours", "/v1/models/ours:predict"])
def test_answers_of_predict_are_the_networks_very_own(path: str) -> None:
    with predict_server(network) as server:
        endpoint = connected(server.url + path, "kserve-v1")
        close(endpoint.answer(pixels(11)), EXPECTED)


@pytest.mark.parametrize("path", ["", "/", "/invocations"])
def test_answers_of_mlflow_are_the_networks_very_own(path: str) -> None:
    with mlflow_server(network) as server:
        endpoint = connected(server.url + path, "mlflow")
        close(endpoint.answer(pixels(11)), EXPECTED)


def serving(dtype: str, *sizes: int, inputs: int = 1) -> Server:
    """TensorFlow Serving, which says what its model takes."""
    dims = [{"size": str(size), "name": ""} for size in (-1, *sizes)]
    tensor = {"dtype": dtype, "tensor_shape": {"dim": dims}}
    signature = {"inputs": {f"x{number}": tensor for number in range(inputs)}}
    metadata = {"metadata": {"signature_def": {"signature_def": {"serving_default": signature}}}}

    def answer(seen: Seen) -> Said:
        if seen.path == "/v1/models/ours/metadata":
            return Said(json=metadata)
        return Said(json={"predictions": network(np.array(seen.json["instances"])).tolist()})

    return Server(answer)


def test_tensorflow_serving_says_layout_and_type() -> None:
    with serving("DT_UINT8", 4, 4, 3) as server:
        endpoint = connected(server.url + "/v1/models/ours", "kserve-v1", known=None)
        rows = endpoint.answer(pixels(3))
    assert (endpoint.input.shape, endpoint.form.layout, endpoint.form.dtype) == (
        SHAPE,
        "nhwc",
        "uint8",
    )
    close(rows, network(pixels(3).transpose(0, 2, 3, 1)))


@pytest.mark.parametrize(("dtype", "inputs"), [("DT_STRING", 1), ("DT_FLOAT", 2), ("DT_FLOAT", 0)])
def test_a_model_that_takes_what_cannot_be_asked_is_refused(dtype: str, inputs: int) -> None:
    with serving(dtype, *SHAPE, inputs=inputs) as server, pytest.raises(InputRefused):
        connected(server.url + "/v1/models/ours", "kserve-v1")


def reply(document: Any) -> Reply:
    return Reply(headers={}, body=json.dumps(document).encode())


def test_predictions_are_rows_or_outputs_by_name_or_scores_by_class() -> None:
    rows = predictions(reply({"predictions": [[1, 2], [3, 4]]}), 2, None)
    assert np.stack([*rows]).tolist() == [[1, 2], [3, 4]]
    outputs = reply({"predictions": [{"y": [1, 2], "id": 7}, {"y": [3, 4], "id": 8}]})
    assert np.stack([*predictions(outputs, 2, "y")]).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(NoAnswer, match="--output"):
        predictions(outputs, 2, None)
    named = reply({"predictions": [{"cat": 0.1, "dog": 0.9}]})
    assert predictions(named, 1, None) == [{"cat": 0.1, "dog": 0.9}]


@pytest.mark.parametrize(
    ("document", "output"),
    [
        ([], None),
        ({}, None),
        ({"error": "no"}, None),
        ({"predictions": None}, None),
        ({"predictions": "cat"}, None),
        ({"predictions": []}, None),
        ({"predictions": [[1, 2]]}, None),
        ({"predictions": [[1, 2], [3]]}, None),
        ({"predictions": [["a", "b"], ["c", "d"]]}, None),
        ({"predictions": [[[1, 2], [1, 2]], [[1, 2], [1, 2]]]}, None),
        ({"predictions": [[1, None], [1, 2]]}, None),
        ({"predictions": [{"a": 1}]}, None),
        ({"predictions": [{"a": 1}, [1]]}, None),
        ({"predictions": [[1, 2], [3, 4]]}, "y"),
        ({"predictions": [{"x": 1}, {"x": 1}]}, "y"),
    ],
)
def test_what_is_no_answer_is_none(document: Any, output: str | None) -> None:
    with pytest.raises(NoAnswer):
        predictions(reply(document), 2, output)
