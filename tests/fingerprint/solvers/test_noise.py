"""Public inputs: anyone must be able to derive the same bytes from SHAKE-256."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint.errors import UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.solvers.noise import START_KINDS, base_input, parse_start, start_noise

PIXELS = InputSpec(shape=(3, 5, 7))
IDS = [f"label-{index}" for index in range(3)]


def shake(label: str, count: int) -> list[int]:
    return list(hashlib.shake_256(label.encode("utf-8")).digest(count))


def blocked(
    label: str, shape: tuple[int, int, int], block: int, *, black_white: bool
) -> np.ndarray:
    """The noise of an image by loops over its pixels, from the definition."""
    channels, height, width = shape
    rows, columns = (height + block - 1) // block, (width + block - 1) // block
    stream = shake(label, channels * rows * columns)
    image = np.zeros(shape, dtype=np.uint8)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                byte = stream[(c * rows + y // block) * columns + x // block]
                image[c, y, x] = (255 if byte >= 128 else 0) if black_white else byte
    return image


@pytest.mark.parametrize("label", IDS)
@pytest.mark.parametrize("start", START_KINDS)
def test_noise_is_the_bytes_of_shake_256_in_row_major_blocks(start: str, label: str) -> None:
    kind, _, block = start.partition("-")
    expected = blocked(label, (3, 5, 7), int(block or 1), black_white=kind == "binary")
    found = start_noise(PIXELS, start, label)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_the_first_bytes_of_a_known_label_never_change() -> None:
    """Written out, so that a change of hash, encoding or scaling cannot pass unseen."""
    assert shake("null", 6) == [104, 58, 80, 219, 21, 199]
    found = start_noise(InputSpec(shape=(1, 2, 3)), "uniform", "null")
    np.testing.assert_array_equal(found.ravel(), [104, 58, 80, 219, 21, 199])


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 9), (1, 8, 8), (2, 3, 5, 4)], ids=str)
@pytest.mark.parametrize("start", START_KINDS)
def test_noise_fills_the_shape_though_blocks_do_not_divide_it(
    start: str, shape: tuple[int, ...]
) -> None:
    block = parse_start(start)[1]
    found = start_noise(InputSpec(shape=shape), start, "x")
    assert found.shape == shape
    corner = found[(slice(None), *[slice(0, block)] * (len(shape) - 1))]
    first = found[(slice(None), *[slice(0, 1)] * (len(shape) - 1))]
    np.testing.assert_array_equal(corner, np.broadcast_to(first, corner.shape))


def test_vectors_have_no_blocks() -> None:
    spec = InputSpec(shape=(11,), kind="float", bounds=(-2.0, 2.0))
    plain = start_noise(spec, "uniform", "x")
    np.testing.assert_array_equal(start_noise(spec, "uniform-4", "x"), plain)
    assert len(np.unique(plain)) > 1


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-1e3, 1e3, width=32),
    st.floats(0.015625, 1e3, width=32),
    st.sampled_from(START_KINDS),
    st.text(max_size=8),
)
def test_float_inputs_stay_inside_their_bounds(
    low: float, extent: float, start: str, label: str
) -> None:
    spec = InputSpec(shape=(2, 6, 5), kind="float", bounds=(low, low + extent))
    for values in (start_noise(spec, start, label), base_input(spec, label)):
        assert values.dtype == np.float32
        assert values.min() >= np.float32(low)
        assert values.max() <= np.float32(low + extent)


def test_float_values_are_whole_steps_between_the_bounds() -> None:
    spec = InputSpec(shape=(4,), kind="float", bounds=(-1.0, 3.0))
    exact = [Fraction(byte, 255) * 4 - 1 for byte in shake("x", 4)]
    found = start_noise(spec, "uniform", "x")
    np.testing.assert_allclose(found, [float(value) for value in exact], rtol=1e-6)


@pytest.mark.parametrize("kind", ["pixels", "float"])
def test_black_and_white_noise_takes_both_ends_and_nothing_between(kind: str) -> None:
    bounds = (0.0, 1.0) if kind == "pixels" else (-1.5, 2.5)
    spec = InputSpec(shape=(3, 32, 32), kind=kind, bounds=bounds)  # type: ignore[arg-type]
    values, counts = np.unique(start_noise(spec, "binary", "x"), return_counts=True)
    assert values.tolist() == ([0, 255] if kind == "pixels" else [-1.5, 2.5])
    assert abs(counts[0] / counts.sum() - 0.5) < 4 * 0.5 / np.sqrt(3 * 32 * 32)


@pytest.mark.parametrize("label", IDS)
def test_a_base_of_an_image_is_one_plain_colour(label: str) -> None:
    colour = np.array(shake(label, 3), dtype=np.uint8)
    found = base_input(PIXELS, label)
    np.testing.assert_array_equal(found, np.broadcast_to(colour[:, None, None], (3, 5, 7)))
    assert found.dtype == np.uint8


def test_a_base_of_a_vector_is_one_value() -> None:
    spec = InputSpec(shape=(40,), kind="float", bounds=(0.0, 255.0))
    np.testing.assert_allclose(base_input(spec, "x"), shake("x", 1) * 40, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(START_KINDS))
def test_equal_labels_give_equal_noise_and_different_ones_do_not(
    first: str, second: str, start: str
) -> None:
    spec = InputSpec(shape=(3, 32, 32))
    same = (start_noise(spec, start, first) == start_noise(spec, start, second)).all()
    assert bool(same) == (first == second)


@pytest.mark.parametrize(
    "start", ["auto", "", "gauss", "binary-1", "binary-3", "uniform-", "Binary"]
)
def test_an_unknown_start_is_a_usage_error_that_lists_the_known(start: str) -> None:
    with pytest.raises(UsageError, match="binary, binary-2, binary-4, uniform") as caught:
        start_noise(PIXELS, start, "x")
    assert repr(start) in str(caught.value)
