from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fingerprint.distances import answer_distance
from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.network.outputs import as_rows, describe_output, pick_output, take
from fingerprint.network.spec import OutputSpec

ROWS = torch.randn(2, 5)
MAP = torch.randn(2, 5, 8, 8)


@dataclass
class Answer:
    logits: Tensor
    hidden: Tensor


Named = namedtuple("Named", ["aux", "logits"])


@pytest.mark.parametrize(
    ("answers", "output", "pick"),
    [
        (ROWS, None, None),
        (ROWS, 0, None),
        ({"logits": ROWS, "aux": ROWS}, None, "logits"),
        ({"out": ROWS, "aux": ROWS}, None, "out"),
        ({"aux": ROWS, "main": ROWS}, "main", "main"),
        (Answer(logits=ROWS, hidden=ROWS), None, "logits"),
        (Answer(logits=MAP, hidden=ROWS), "hidden", "hidden"),
        (Named(aux=ROWS, logits=ROWS), None, "logits"),
        ((ROWS,), None, 0),
        ((ROWS, MAP), None, 0),
        ([MAP, ROWS], None, 1),
        ((ROWS, ROWS), 1, 1),
        ((ROWS, ROWS), "1", 1),
        ((ROWS, None), None, 0),
    ],
    ids=str,
)
def test_the_logits_are_found(answers: Any, output: str | int | None, pick: str | int) -> None:
    found = pick_output(answers, output)
    assert found == pick
    assert isinstance(take(answers, found), Tensor)


@pytest.mark.parametrize(
    ("answers", "output"),
    [
        ((ROWS, ROWS), None),
        ({"first": ROWS, "second": ROWS}, None),
        ({"first": ROWS, "second": ROWS}, "third"),
        ((ROWS, ROWS), 2),
        ((ROWS, "text"), 1),
        (ROWS, "logits"),
    ],
    ids=str,
)
def test_several_answers_or_a_wrong_name_ask_for_output(
    answers: Any, output: str | int | None
) -> None:
    with pytest.raises(UsageError, match="output: "):
        pick_output(answers, output)


def test_the_question_lists_the_names() -> None:
    with pytest.raises(UsageError, match=r"first, second.*--output"):
        pick_output({"first": ROWS, "second": ROWS}, None)


@pytest.mark.parametrize(
    "answers", ["cat", ["cat", "dog"], {"out": {"logits": None}}, None, 3, (), {}], ids=str
)
def test_answers_without_a_tensor_are_incompatible(answers: Any) -> None:
    with pytest.raises(IncompatibleModel):
        describe_output(take(answers, pick_output(answers, None)), batch=2)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (torch.randn(2, 0), "2x0 for 2 inputs"),
        (torch.randn(5), "expected 2 rows"),
        (torch.tensor([1, 0]), "int64"),
        (torch.tensor(1.0), "a scalar"),
        (MAP, "2x5x8x8"),
        (torch.randn(2, 7, 5), "map or a sequence"),
        (torch.randn(5, 3), "expected 2 rows"),
        (torch.tensor([[1, 2], [3, 4]]), "int64"),
        (torch.ones(2, 2, dtype=torch.complex64), "complex64"),
    ],
    ids=["no column", "other rows", "one label", "scalar", "map", "sequence", "rows", "integers",
         "complex"],
)  # fmt: skip
def test_what_is_no_row_of_logits_is_refused_by_shape(answers: Tensor, reason: str) -> None:
    with pytest.raises(IncompatibleModel, match=reason):
        describe_output(answers, batch=2)


def test_logits_and_probabilities_are_told_apart() -> None:
    assert describe_output(ROWS, batch=2).kind == "logits"
    assert describe_output(ROWS.softmax(1), batch=2).kind == "probabilities"
    assert describe_output(ROWS, batch=2).classes == 5


@pytest.mark.parametrize("answers", [torch.tensor([[2.0], [-3.0]]), torch.tensor([2.0, -3.0])])
def test_one_output_is_two_logits_of_which_the_first_is_zero(answers: Tensor) -> None:
    assert describe_output(answers, batch=2) == OutputSpec(classes=2, kind="logits")
    assert as_rows(answers).tolist() == [[0.0, 2.0], [0.0, -3.0]]


def test_distances_of_one_output_are_differences_up_to_a_factor() -> None:
    a, b = torch.randn(7), torch.randn(7)
    found = answer_distance(as_rows(a).numpy(), as_rows(b).numpy(), "logits")
    np.testing.assert_allclose(found, (a - b).abs().numpy() / np.sqrt(2), rtol=1e-5)


def test_several_outputs_stay_as_they_are() -> None:
    assert as_rows(ROWS) is ROWS
