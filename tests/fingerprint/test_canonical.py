from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint.canonical import canonical, plain

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(max_examples=50)
@given(VALUES)
def test_canonical_text_is_json_and_hashes_the_same_after_a_round_trip(value: object) -> None:
    text = canonical(value)
    assert canonical(json.loads(text)) == text


def test_the_order_of_keys_does_not_matter() -> None:
    assert (
        canonical({"b": 1, "a": (1, 2)}) == canonical({"a": [1, 2], "b": 1}) == '{"a":[1,2],"b":1}'
    )


@pytest.mark.parametrize(
    ("value", "word"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")],
)
def test_numbers_without_a_word_in_json_become_words(value: float, word: str) -> None:
    assert plain({"p": [value]}) == {"p": [word]}
    assert plain(np.float32(value)) == word


def test_numpy_values_become_plain_numbers() -> None:
    found = plain({"a": np.float32(0.5), "b": np.int64(3), "c": np.array([1.0, 2.0])})
    assert json.dumps(found) == '{"a": 0.5, "b": 3, "c": [1.0, 2.0]}'
