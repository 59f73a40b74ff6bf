"""Hugging Face image classification: a picture in, a list of labels and scores out."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fingerprint.suspects.endpoints.adapter import (
    DAMAGE,
    JSON,
    Adapter,
    Answer,
    document,
    json_body,
)
from fingerprint.suspects.endpoints.form import Form
from fingerprint.suspects.endpoints.transport import Call, NoAnswer, Reply

__all__ = ["HuggingFace", "named"]

_ALL = 100_000
"""More classes than a model has: the pipeline then names all of them."""


class HuggingFace(Adapter):
    """Asks an Inference Endpoint, or a server of the same toolkit, at its own address."""

    name = "huggingface"
    takes_pictures = True
    batch = 1

    def encode(self, inputs: NDArray[Any], form: Form) -> Call:
        """One picture as PNG; see :meth:`Adapter.encode`."""
        (picture,) = form.pictures(inputs, "PNG")
        body = {"inputs": base64.b64encode(picture).decode(), "parameters": {"top_k": _ALL}}
        return Call(path=self.path, headers=JSON, body=json_body(body), inputs=1)

    def decode(self, reply: Reply, count: int) -> Sequence[Answer]:
        """One list of labels with scores; see :meth:`Adapter.decode`."""
        try:
            given = document(reply.body)
            # Some servers answer with a list for each picture, of which there is one.
            entries = given[0] if isinstance(given[0], list) and len(given) == count else given
            return [named([one["label"] for one in entries], [one["score"] for one in entries])]
        except DAMAGE as error:
            raise NoAnswer("expected a list of labels and scores, got another document") from error


def named(labels: Sequence[Any], scores: Sequence[Any]) -> dict[str, float]:
    """Pairs labels with scores.

    Raises:
        NoAnswer: They are no labels and numbers, as many of each, or a label comes twice.
    """
    fit = all(isinstance(one, (str, int)) and not isinstance(one, bool) for one in labels)
    fit &= all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in scores)
    answer = dict(zip(map(str, labels), map(float, scores), strict=False)) if fit else {}
    fit = all(map(math.isfinite, answer.values()))
    if not fit or not answer or not len(answer) == len(labels) == len(scores):
        raise NoAnswer("expected labels and as many scores, each label once, got something else")
    return answer
