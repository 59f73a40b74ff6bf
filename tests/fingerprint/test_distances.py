"""Distances between answers: kinds that say the same thing must measure the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import softmax

from fingerprint.distances import answer_distance, answer_size, comparable, top_k
from fingerprint.errors import UsageError

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


@pytest.mark.parametrize("kind", ["logits", "probabilities", "top-k", "labels"])
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


# Top-k: only some classes are named.


def plain_top_k_distance(first: Array, second: Array) -> float:
    """The distance of two rows as a loop over the classes that either names."""
    a = {place: float(value) for place, value in enumerate(first) if value > 0}
    b = {place: float(value) for place, value in enumerate(second) if value > 0}
    if len(a) == len(b) == 1:
        return float(a.keys() != b.keys())
    classes = sorted(a.keys() | b.keys())
    difference = [
        math.log(a.get(place, min(a.values()))) - math.log(b.get(place, min(b.values())))
        for place in classes
    ]
    mean = sum(difference) / len(classes)
    return math.sqrt(sum((value - mean) ** 2 for value in difference))


def plain_top_k(row: Array, k: int) -> Array:
    order = sorted(range(len(row)), key=lambda place: (-row[place], place))
    kept = np.zeros_like(row)
    for place in order[:k]:
        kept[place] = row[place]
    return kept


# Steps of a quarter make ties; wide steps make confident rows.
STEPS = arrays(np.float64, (4, 6), elements=st.integers(-12, 12).map(lambda step: step / 4))


@settings(max_examples=150, deadline=None)
@given(STEPS, STEPS, st.integers(1, 7), st.integers(1, 7))
def test_top_k_distances_are_those_of_a_plain_loop(
    first: Array, second: Array, k: int, other: int
) -> None:
    rows, others = top_k(softmax(first, axis=1), k), top_k(softmax(second, axis=1), other)
    expected = [plain_top_k_distance(a, b) for a, b in zip(rows, others, strict=True)]
    found = answer_distance(rows, others, "top-k")
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(answer_distance(others, rows, "top-k"), expected, atol=1e-12)
    np.testing.assert_allclose(answer_distance(rows, rows, "top-k"), 0.0, atol=1e-14)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.integers(1, 7))
def test_the_largest_are_kept_and_of_equals_the_first(values: Array, k: int) -> None:
    rows = softmax(values, axis=1)
    expected = np.array([plain_top_k(row, k) for row in rows])
    np.testing.assert_array_equal(top_k(rows, k), expected)
    each = np.array([1, k, 2, 6])
    found = top_k(rows.astype(np.float32), each)
    assert found.dtype == np.float32
    for row, narrowed, count in zip(rows.astype(np.float32), found, each, strict=True):
        np.testing.assert_array_equal(narrowed, plain_top_k(row, int(count)))


@settings(max_examples=50, deadline=None)
@given(LOGITS, LOGITS)
def test_naming_every_class_is_giving_probabilities(first: Array, second: Array) -> None:
    a, b = softmax(first, axis=1), softmax(second, axis=1)
    np.testing.assert_allclose(
        answer_distance(a, b, "top-k"), answer_distance(a, b, "probabilities"), atol=1e-10
    )
    np.testing.assert_allclose(answer_size(a, "top-k"), answer_size(a, "probabilities"), atol=1e-10)


def test_one_named_class_is_a_label() -> None:
    rows = np.array([[0.9, 0.0, 0.0], [0.4, 0.0, 0.0], [0.0, 0.9, 0.0]])
    found = answer_distance(rows[:, None], rows[None], "top-k")
    np.testing.assert_allclose(found, answer_distance(rows[:, None], rows[None], "labels"))
    np.testing.assert_array_equal(answer_size(rows, "top-k"), 0.0)


def test_rows_alike_in_all_they_name_are_at_distance_zero() -> None:
    rows = np.array([[0.2, 0.2, 0.0, 0.0, 0.0], [0.0, 0.0, 0.3, 0.3, 0.3]])
    assert answer_distance(rows[0], rows[1], "top-k") == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_array_equal(answer_size(rows, "top-k"), [0.0, 0.0])


def test_the_distance_does_not_jump_where_the_last_named_classes_change_places() -> None:
    before = top_k(np.array([0.5, 0.2 + 1e-9, 0.2, 0.1]), 2)
    after = top_k(np.array([0.5, 0.2, 0.2 + 1e-9, 0.1]), 2)
    assert (before > 0).tolist() != (after > 0).tolist()
    assert answer_distance(before, after, "top-k") == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("full", [False, True])
def test_a_missing_top_k_answer_has_no_distance(missing: float, full: bool) -> None:
    there = np.array([0.6, 0.0, 0.3])
    gone = np.full(3, missing) if full else np.array([0.6, missing, 0.0])
    for first, second in ((there, gone), (gone, there), (gone, gone)):
        assert np.isnan(answer_distance(first, second, "top-k"))
    assert np.isnan(answer_size(gone, "top-k"))
    assert np.isnan(top_k(gone, 1)).all()


def test_a_top_k_answer_that_names_nothing_is_missing() -> None:
    assert np.isnan(answer_distance(np.zeros(3), np.array([0.6, 0.0, 0.3]), "top-k"))
    assert np.isnan(answer_distance(np.zeros(3), np.zeros(3), "top-k"))


def test_top_k_answers_have_no_space_of_their_own() -> None:
    with pytest.raises(UsageError, match="got 'top-k'"):
        comparable(np.array([[0.6, 0.0, 0.3]]), "top-k")


def test_a_missing_label_is_at_no_distance_from_any() -> None:
    given = np.array([[0.0, 1.0, 0.0], [np.nan] * 3, [1.0, np.nan, 0.0]])
    found = answer_distance(given, np.array([1.0, 0.0, 0.0]), "labels")
    assert found[0] == pytest.approx(1.0)
    assert np.isnan(found[1:]).all(), "a label that was not given is not that of the first class"
