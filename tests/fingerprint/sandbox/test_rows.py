"""What a network gave becomes one row for each input."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.errors import IncompatibleModel
from fingerprint.sandbox.rows import MAX_VALUES, pooled

FOUND = np.array([[1.0, 10.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("parts", "row"),
    [
        ([FOUND], [2, 2, 7, 3, 10]),
        ([FOUND[None].astype(np.int64)], [2, 2, 7, 3, 10]),
        ([FOUND, FOUND[:1]], [3, 5 / 3, 8, 3, 10]),
        ([FOUND, FOUND[:, :1]], [6, 22 / 6, 10]),
        ([FOUND[0]], [2, 5.5, 10]),
        ([FOUND[:0]], [0, 0, 0, 0, 0]),
        ([FOUND[:, :0]], [0, 0, 0]),
        ([], [0, 0, 0]),
    ],
    ids=[
        "rows",
        "a batch of one",
        "two lists",
        "other widths",
        "values",
        "nothing",
        "empty",
        "none",
    ],
)
def test_statistics_are_the_count_the_means_and_the_largest(
    parts: list[np.ndarray], row: list[float]
) -> None:
    found = pooled(parts, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [row, row], rtol=1e-6)


@pytest.mark.parametrize("part", [np.array(["a"]), np.zeros((1, MAX_VALUES))], ids=["text", "wide"])
def test_what_is_no_such_list_is_refused(part: np.ndarray) -> None:
    with pytest.raises(IncompatibleModel, match="expected lists of"):
        pooled([part], 1)
