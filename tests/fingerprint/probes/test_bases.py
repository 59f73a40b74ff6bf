"""Bases and turns: derived from the seed, with room for δ whichever way it is turned."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.network.spec import InputSpec
from fingerprint.probes.bases import ROOM, dead_leaves, start_delta
from fingerprint.probes.turns import turned, turns_of

PIXELS = InputSpec(shape=(3, 20, 20), kind="pixels", bounds=(0.0, 1.0))


def floats(*shape: int) -> InputSpec:
    return InputSpec(shape=shape, kind="float", bounds=(-2.0, 3.0))


def test_bases_are_the_same_on_every_machine() -> None:
    """Numbers written down once; only additions, products and comparisons lead to them."""
    base = dead_leaves(PIXELS, "seed", 1)[0]
    assert base.dtype == np.uint8
    again = dead_leaves(PIXELS, "seed", 3)
    np.testing.assert_array_equal(again[0], base)
    assert len({one.tobytes() for one in again}) == 3
    assert not np.array_equal(dead_leaves(PIXELS, "other", 1)[0], base)


@pytest.mark.parametrize(
    "spec", [PIXELS, floats(64), floats(1, 50), floats(2, 9, 13), floats(2, 5, 6, 7), floats(1)]
)
def test_every_base_leaves_room_on_both_sides(spec: InputSpec) -> None:
    bases = dead_leaves(spec, "seed", 4).astype(float)
    low, high = (0, 255) if spec.kind == "pixels" else spec.bounds
    room = ROOM * (high - low)
    assert bases.min() >= low + room - 1e-5 * (high - low)
    assert bases.max() <= high - room + 1e-5 * (high - low)
    assert bases.shape == (4, *spec.shape)


def test_a_base_has_patches_of_one_colour_and_edges_between_them() -> None:
    image = dead_leaves(PIXELS, "seed", 1)[0].astype(int)
    steps = np.abs(np.diff(image, axis=2)).max(axis=0)
    assert 0.3 < (steps == 0).mean() < 1.0


def test_starts_are_noise_of_the_size_asked_for() -> None:
    delta = start_delta(PIXELS, 0.1, "label")
    assert 0.09 < np.abs(delta).max() <= 0.1
    assert abs(delta.mean()) < 0.01


@pytest.mark.parametrize(
    ("shape", "count"), [((3, 8, 8), 7), ((3, 8, 6), 3), ((64,), 5), ((2, 30), 5)]
)
def test_turns_keep_every_value_and_are_all_different(shape: tuple[int, ...], count: int) -> None:
    chance = np.random.default_rng(0)
    bases = np.full((1, *shape), 100, np.uint8)
    inputs = (bases + chance.integers(-40, 41, size=bases.shape)).astype(np.uint8)
    assert len(turns_of(shape)) == count
    found = turned(bases, inputs, range(count))[0]
    assert found.dtype == np.uint8
    delta = inputs[0].astype(int) - 100
    for one in found:
        assert sorted((one.astype(int) - 100).ravel()) == sorted(delta.ravel())
    assert len({one.tobytes() for one in (*found, inputs[0])}) == count + 1
