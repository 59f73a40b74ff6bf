"""The control of a probe: the same pixels, upside down."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.models.spec import InputSpec
from fingerprint.probes.mirror import mirrored
from fingerprint.probes.public import public_bases

SHAPES = [(1, 4, 5), (3, 7, 7), (2, 9), (11,), (1, 2, 3, 4)]


def an_array(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape).astype(np.uint8)


def test_rows_are_reversed_and_nothing_else() -> None:
    images = an_array(2, 3, 4, 5)
    turned = mirrored(images, (3, 4, 5))
    for batch, channel, row, column in np.ndindex(images.shape):
        assert turned[batch, channel, row, column] == images[batch, channel, 3 - row, column]


def test_a_vector_is_read_backwards_and_a_sequence_in_time() -> None:
    assert mirrored(np.array([[1, 2, 3]]), (3,)).tolist() == [[3, 2, 1]]
    assert mirrored(np.array([[[1, 2, 3], [4, 5, 6]]]), (2, 3)).tolist() == [[[3, 2, 1], [6, 5, 4]]]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("batch", [(), (4,), (2, 3), (0,)], ids=str)
def test_twice_is_the_identity_and_values_are_kept(
    shape: tuple[int, ...], batch: tuple[int, ...]
) -> None:
    inputs = an_array(*batch, *shape)
    turned = mirrored(inputs, shape)
    assert (turned.shape, turned.dtype) == (inputs.shape, inputs.dtype)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(mirrored(turned, shape), inputs)
    np.testing.assert_array_equal(np.sort(turned, axis=None), np.sort(inputs, axis=None))


def test_the_caller_keeps_its_array() -> None:
    images = an_array(2, 1, 4, 4)
    kept = images.copy()
    mirrored(images, (1, 4, 4))[:] = 0
    np.testing.assert_array_equal(images, kept)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_plain_bases_are_their_own_mirror_images(shape: tuple[int, ...]) -> None:
    bases = public_bases(InputSpec(shape=shape), "5e" * 32, 3)
    np.testing.assert_array_equal(mirrored(bases, shape), bases)
