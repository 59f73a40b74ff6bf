"""One answer says what all are, and what does not fit it later is no answer."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.errors import EnvironmentFailure, FingerprintError, IncompatibleModel, UsageError
from fingerprint.suspects.endpoints.reading import Reading
from fingerprint.suspects.endpoints.transport import NoAnswer

CLASSES = ("cat", "dog", "fox")


def numbers(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(values, np.float64)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (numbers(2.5, -1, 0.5), "logits"),
        (numbers(0.7, 0.2, 0.1), "probabilities"),
        (numbers(0.33, 0.33, 0.33), "probabilities"),
        (numbers(0.7, 0.7, 0.7), "logits"),
        (numbers(0.701234, 0.2, 0.1), "logits"),
        (numbers(1.5, -0.5, 0), "logits"),
    ],
)
def test_numbers_that_sum_to_one_but_for_rounding_are_probabilities(
    answer: np.ndarray[tuple[int, ...], np.dtype[np.float64]], kind: str
) -> None:
    reading = Reading.of(answer)
    assert (reading.output.kind, reading.output.classes) == (kind, 3)
    np.testing.assert_allclose(reading.row(answer), answer, rtol=1e-6)


def test_one_number_is_two_logits() -> None:
    reading = Reading.of(numbers(1.5))
    assert (reading.output.kind, reading.output.classes) == ("logits", 2)
    assert reading.row(numbers(-3.0)).tolist() == [0, -3]
    assert reading.warnings


def test_names_that_count_are_in_their_own_order() -> None:
    answer = {f"LABEL_{place}": 0.1 for place in reversed(range(10))} | {"LABEL_10": 0.0}
    reading = Reading.of(answer)
    assert (reading.output.classes, reading.warnings) == (11, ())
    assert reading.row({**answer, "LABEL_9": 0.25})[9] == np.float32(0.25)
    assert Reading.of({"1": 0.5, "0": 0.5}).names == {"0": 0, "1": 1}


def test_names_that_are_listed_are_in_the_order_of_the_list() -> None:
    reading = Reading.of({"fox": 0.5, "dog": 0.3, "cat": 0.2}, CLASSES)
    assert (reading.output.kind, reading.warnings) == ("probabilities", ())
    assert not reading.output.by_name
    np.testing.assert_allclose(reading.row({"dog": 0.1, "fox": 0.9, "cat": 0}), [0, 0.1, 0.9])


def test_a_few_of_the_classes_are_top_k() -> None:
    reading = Reading.of({"fox": 0.5, "dog": 0.3}, CLASSES)
    assert reading.output.kind == "top-k"
    np.testing.assert_allclose(reading.row({"cat": 0.6}), [0.6, 0, 0])


def test_names_whose_order_nobody_knows_are_sorted_and_that_is_said() -> None:
    reading = Reading.of({"fox": 0.5, "dog": 0.3, "cat": 0.2})
    assert reading.names == {"cat": 0, "dog": 1, "fox": 2}
    assert reading.output.by_name
    assert "--labels" in reading.warnings[0]


@pytest.mark.parametrize("answer", [{"fox": 0.5, "dog": 0.3}, {"fox": 1.0}, {"fox": 9.0, "b": 1.0}])
def test_some_classes_of_an_unknown_number_are_refused(answer: dict[str, float]) -> None:
    with pytest.raises(IncompatibleModel, match="--labels"):
        Reading.of(answer)


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (("a", "b", "c"), EnvironmentFailure),
        (("fox",), UsageError),
        ((), UsageError),
        (("fox", "fox", "dog"), UsageError),
    ],
)
def test_lists_that_do_not_fit_are_refused(
    labels: tuple[str, ...], error: type[FingerprintError]
) -> None:
    with pytest.raises(error, match="--labels"):
        Reading.of({"fox": 0.5, "dog": 0.5}, labels)


def test_a_list_of_another_length_than_the_numbers_is_refused() -> None:
    with pytest.raises(UsageError, match="--labels"):
        Reading.of(numbers(1, 2, 3, 4), CLASSES)


def test_what_is_not_like_the_first_answer_is_none() -> None:
    rows, names = Reading.of(numbers(1, 2, 3)), Reading.of({"0": 0.5, "1": 0.5})
    few = Reading.of({"fox": 0.5}, CLASSES)
    for reading, answer in (
        (rows, numbers(1, 2)),
        (rows, {"0": 1.0}),
        (rows, numbers(1, 2, np.inf)),
        (rows, numbers(1, 2, 1e300)),
        (rows, numbers(np.nan, 2, 3)),
        (names, numbers(0.5, 0.5)),
        (names, {"0": 0.5}),
        (names, {"0": 0.5, "2": 0.5}),
        (few, {"wolf": 0.5}),
        (few, {"fox": 7.0}),
        (few, {"fox": -0.1}),
        (few, {"fox": float("nan")}),
    ):
        with pytest.raises(NoAnswer):
            reading.row(answer)
