"""The control of a probe: the same pixels, turned or mirrored."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.network.spec import InputSpec
from fingerprint.probes.controls import symmetries, symmetry_controls
from fingerprint.probes.public import public_bases

SHAPES = [(1, 4, 5), (3, 7, 7), (2, 9), (11,), (1, 2, 3, 4)]
COUNTS = {(1, 4, 5): 3, (3, 7, 7): 7, (2, 9): 1, (11,): 1, (1, 2, 3, 4): 1}


def an_array(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape).astype(np.uint8)


def test_the_seven_symmetries_of_a_square_are_written_out() -> None:
    square = np.array([[[1, 2], [3, 4]]])
    found = [symmetry_controls(square[None], [place])[0, 0].tolist() for place in range(7)]
    assert found == [
        [[3, 4], [1, 2]],  # upside down
        [[2, 1], [4, 3]],  # left to right
        [[4, 3], [2, 1]],  # turned by a half
        [[2, 4], [1, 3]],  # turned by a quarter, to the left
        [[3, 1], [4, 2]],  # to the right
        [[1, 3], [2, 4]],  # mirrored in the diagonal
        [[4, 2], [3, 1]],  # in the other
    ]


def test_a_vector_is_read_backwards_and_a_sequence_in_time() -> None:
    assert symmetry_controls(np.array([[1, 2, 3]]), [5]).tolist() == [[3, 2, 1]]
    assert symmetry_controls(np.array([[[1, 2, 3], [4, 5, 6]]]), [0]).tolist() == [
        [[3, 2, 1], [6, 5, 4]]
    ]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_symmetries_are_as_many_as_the_shape_has_and_all_different(shape: tuple[int, ...]) -> None:
    one = an_array(*shape)
    images = [symmetry(one) for symmetry in symmetries(shape)]
    assert len(images) == COUNTS[shape]
    assert len({image.tobytes() for image in (one, *images)}) == COUNTS[shape] + 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("count", [0, 1, 9])
def test_values_and_channels_are_kept_and_each_input_is_turned_by_itself(
    shape: tuple[int, ...], count: int
) -> None:
    inputs = an_array(count, *shape)
    out = symmetry_controls(inputs, range(count))
    assert (out.shape, out.dtype) == (inputs.shape, inputs.dtype)
    assert out.flags.c_contiguous
    channels = (count, shape[0], -1) if len(shape) > 1 else (count, -1)
    if count:
        before, after = (np.sort(part.reshape(channels), axis=-1) for part in (inputs, out))
        np.testing.assert_array_equal(before, after)
    for place in range(count):
        alone = symmetry_controls(inputs[place : place + 1], [place])[0]
        np.testing.assert_array_equal(out[place], alone)


def test_the_caller_keeps_its_array() -> None:
    images = an_array(2, 1, 4, 4)
    kept = images.copy()
    symmetry_controls(images, [0, 3])[:] = 0
    np.testing.assert_array_equal(images, kept)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_plain_bases_look_the_same_however_they_are_symmetry_controls(
    shape: tuple[int, ...],
) -> None:
    bases = public_bases(InputSpec(shape=shape), "5e" * 32, 3)
    for place in range(7):
        np.testing.assert_array_equal(symmetry_controls(bases, [place] * 3), bases)
