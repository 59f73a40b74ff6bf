"""Hugging Face image classification: a picture is sent, labels and scores come back."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from fingerprint.errors import EnvironmentFailure, UsageError
from fingerprint.suspects.endpoints.address import parse_address
from fingerprint.suspects.endpoints.huggingface import HuggingFace
from fingerprint.suspects.endpoints.transport import NoAnswer, Reply
from tests.support.endpoints import connected, network, pixels
from tests.support.servers import Said, Seen, Server

CLASSES = ("ant", "bee", "cat", "dog", "elk")


def classifier(*, top: int | None = None, names: tuple[str, ...] = CLASSES) -> Server:
    """Scores pictures, the best class first."""

    def answer(seen: Seen) -> Said:
        picture = Image.open(io.BytesIO(base64.b64decode(seen.json["inputs"])))
        values = np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255
        scores = softmax(network(values)[0])
        count = min(top or len(scores), seen.json["parameters"]["top_k"])
        best = np.argsort(-scores)[:count]
        return Said(json=[{"label": names[one], "score": float(scores[one])} for one in best])

    return Server(answer)


EXPECTED = softmax(network(np.float32(pixels()) / np.float32(255)), axis=-1)


def test_all_classes_are_probabilities_in_the_order_of_the_list() -> None:
    with classifier() as server:
        endpoint = connected(server.url, "huggingface", labels=CLASSES)
        rows = endpoint.answer(pixels())
    assert endpoint.output.kind == "probabilities"
    np.testing.assert_allclose(rows, EXPECTED, rtol=1e-5)


def test_a_server_that_names_only_some_is_known_by_the_list() -> None:
    with classifier(top=2) as server:
        endpoint = connected(server.url, "huggingface", labels=CLASSES)
        rows = endpoint.answer(pixels())
    assert endpoint.output.kind == "top-k"
    assert ((rows > 0).sum(axis=1) == 2).all()
    np.testing.assert_array_equal(rows.argmax(axis=1), EXPECTED.argmax(axis=1))


def test_labels_that_count_need_no_list() -> None:
    names = tuple(f"LABEL_{place}" for place in range(5))
    with classifier(names=names) as server:
        endpoint = connected(server.url, "huggingface")
        np.testing.assert_allclose(endpoint.answer(pixels()), EXPECTED, rtol=1e-5)
    assert endpoint.warnings == ()


def test_another_order_of_classes_is_another_suspect() -> None:
    with classifier() as server:
        first = connected(server.url, "huggingface", labels=CLASSES).facts()
        second = connected(server.url, "huggingface", labels=CLASSES[::-1]).facts()
    assert first != second
    assert "ant" not in str(first)


def test_a_wrong_list_is_said_at_once() -> None:
    wrong = ("1", "2", "3", "4", "5")
    with classifier() as server, pytest.raises(EnvironmentFailure, match="--labels"):
        connected(server.url, "huggingface", labels=wrong)


def test_flags_of_tensors_are_refused() -> None:
    with classifier() as server, pytest.raises(UsageError, match="--mean"):
        connected(server.url, "huggingface", mean=(0.5,), std=(0.5,))
    assert server.seen == []


def decoded(document: Any) -> Any:
    adapter = HuggingFace(parse_address("https://host/"))
    return adapter.decode(Reply(headers={}, body=json.dumps(document).encode()), 1)


def test_a_list_inside_a_list_is_read_too() -> None:
    assert decoded([[{"label": "a", "score": 1}]]) == [{"a": 1.0}]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"error": "loading"},
        [{"label": "a"}],
        [{"label": "a", "score": "1"}],
        [{"label": "a", "score": True}],
        [{"label": None, "score": 1}],
        [{"label": ["a"], "score": 1}],
        [{"label": "a", "score": 1}, {"label": "a", "score": 0}],
        ["a", "b"],
        [[]],
        "cat",
        7,
    ],
)
def test_what_is_no_answer_is_none(document: Any) -> None:
    with pytest.raises(NoAnswer):
        decoded(document)
