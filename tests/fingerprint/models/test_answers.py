"""Distances between answers: kinds that say the same thing must measure the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import softmax

from fingerprint.errors import UsageError
from fingerprint.models.answers import answer_distance, answer_size, comparable

Array = NDArray[np.float64]
LOGITS = arrays(np.float64, (3, 5), elements=st.floats(-20, 20))


def plain_distance(first: Array, second: Array) -> float:
    """Norm of the difference of two logit vectors, its mean removed, in plain Python."""
    difference = [float(a) - float(b) for a, b in zip(first, second, strict=True)]
    mean = sum(difference) / len(difference)
    return float(sum((value - mean) ** 2 for value in difference) ** 0.5)


@settings(max_examples=80, deadline=None)
@given(LOGITS, LOGITS)
def test_logits_are_compared_without_their_common_constant(first: Array, second: Array) -> None:
    expected = [plain_distance(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(answer_distance(first, second, "logits"), expected, atol=1e-12)
    moved = second + np.array([[3.0], [-70.0], [0.5]])
    np.testing.assert_allclose(answer_distance(first, moved, "logits"), expected, atol=1e-11)


@settings(max_examples=80, deadline=None)
@given(LOGITS, LOGITS)
def test_softmax_of_logits_is_at_the_same_distance_as_the_logits(
    first: Array, second: Array
) -> None:
    logits = answer_distance(first, second, "logits")
    probabilities = answer_distance(
        softmax(first, axis=1), softmax(second, axis=1), "probabilities"
    )
    np.testing.assert_allclose(probabilities, logits, atol=1e-10)
    np.testing.assert_allclose(
        comparable(softmax(first, axis=1), "probabilities"), comparable(first, "logits"), atol=1e-10
    )


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_scaling_all_answers_of_one_input_says_nothing_to_softmax(kind: str) -> None:
    """A common factor on unnormalised probabilities is a constant on their logarithms."""
    answers = np.array([[0.2, 0.3, 0.5]])
    moved = answers + 4.0 if kind == "logits" else 4.0 * answers
    np.testing.assert_allclose(answer_distance(answers, moved, kind), 0.0, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(LOGITS, LOGITS, LOGITS, st.sampled_from(["logits", "labels"]))
def test_distances_are_a_metric(first: Array, second: Array, third: Array, kind: str) -> None:
    direct = answer_distance(first, third, kind)
    assert (direct >= 0).all()
    np.testing.assert_array_equal(answer_distance(first, first, kind), 0.0)
    np.testing.assert_allclose(direct, answer_distance(third, first, kind))
    detour = answer_distance(first, second, kind) + answer_distance(second, third, kind)
    assert (direct <= detour + 1e-9).all()


@settings(max_examples=50, deadline=None)
@given(LOGITS, LOGITS)
def test_labels_are_at_distance_one_where_they_differ_and_zero_where_not(
    first: Array, second: Array
) -> None:
    expected = (first.argmax(1) != second.argmax(1)).astype(float)
    np.testing.assert_allclose(answer_distance(first, second, "labels"), expected, atol=1e-12)


def test_a_zero_probability_counts_as_half_the_smallest_one_given() -> None:
    rounded = np.array([[0.99, 0.01, 0.0], [0.5, 0.3, 0.2]])
    floored = np.array([[0.99, 0.01, 0.005], [0.5, 0.3, 0.2]])
    found = comparable(rounded, "probabilities")
    expected = np.log(floored) - np.log(floored).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, 0.0], [1.0, 1e-45]])
def test_extreme_probabilities_give_finite_numbers(values: list[float]) -> None:
    assert np.isfinite(comparable(np.array([values], dtype=np.float32), "probabilities")).all()


def test_equal_answers_are_at_distance_zero_whatever_else_was_asked() -> None:
    first = np.array([[1.0, 0.0], [0.5, 0.5]])
    second = np.array([[1.0, 0.0], [0.999, 0.001]])
    assert answer_distance(first, second, "probabilities")[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("kind", ["logits", "probabilities", "labels"])
def test_shapes_broadcast_over_everything_but_the_classes(kind: str) -> None:
    noise = np.random.default_rng(0)
    controls = softmax(noise.normal(size=(6, 4, 5)), axis=-1)
    bases = softmax(noise.normal(size=(6, 1, 5)), axis=-1)
    found = answer_distance(controls, bases, kind)
    assert found.shape == (6, 4)
    assert found.dtype == np.float64
    one = answer_distance(controls[2, 3], bases[2, 0], kind)
    assert found[2, 3] == pytest.approx(float(one), rel=1e-12)


def test_float32_answers_are_compared_in_float64() -> None:
    answers = np.array([[1e4, 1e4 + 1e-3]], dtype=np.float32)
    assert comparable(answers, "logits").dtype == np.float64
    exact = answers.astype(np.float64)
    assert answer_distance(answers, answers - answers, "logits")[0] == pytest.approx(
        plain_distance(exact[0], np.zeros(2)), rel=1e-12
    )


def test_the_size_of_answers_is_their_distance_from_uniform_ones() -> None:
    logits = np.random.default_rng(1).normal(size=(4, 5))
    expected = answer_distance(logits, np.zeros((4, 5)), "logits")
    np.testing.assert_allclose(answer_size(logits, "logits"), expected)
    uniform = np.full((4, 5), 0.2)
    probabilities = softmax(logits, axis=1)
    np.testing.assert_allclose(
        answer_size(probabilities, "probabilities"),
        answer_distance(probabilities, uniform, "probabilities"),
    )


@pytest.mark.parametrize("call", [comparable, answer_size])
def test_an_unknown_kind_is_refused_by_name(call: object) -> None:
    with pytest.raises(UsageError, match="expected logits, probabilities or labels, got 'scores'"):
        call(np.zeros((1, 2)), "scores")  # type: ignore[operator]
