"""Bases and turns: derived from the seed, with room for δ whichever way it is turned."""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from fingerprint.network.spec import InputSpec
from fingerprint.probes.bases import ROOM, dead_leaves, grained_leaves, start_delta
from fingerprint.probes.turns import (
    chosen_kinds,
    control_groups,
    kinds_of,
    on_the_grid,
    turned,
    turns_of,
)

PIXELS = InputSpec(shape=(3, 20, 20), kind="pixels", bounds=(0.0, 1.0))


def floats(*shape: int) -> InputSpec:
    return InputSpec(shape=shape, kind="float", bounds=(-2.0, 3.0))


def drawn(label: str) -> Iterator[float]:
    for part in itertools.count():
        data = hashlib.shake_256(f"{label}|{part}".encode()).digest(4096)
        yield from (number / 2**32 for (number,) in struct.iter_unpack("<I", data))


def derived(spec: InputSpec, seed: str, place: int, grain: int = 0) -> list[int]:
    """A base of pixels, pixel by pixel, as somebody without this library would derive it."""
    channels, height, width = spec.shape
    label = f"nullprint|{seed}|{spec.domain}|leaves|{place}"
    numbers = drawn(label)
    noise = iter(hashlib.shake_256(f"{label}|grain".encode()).digest(channels * height * width))
    room = ROOM + grain / 255
    behind = [next(numbers) for _ in range(channels)]
    balls = []
    for _ in range(4000):
        radius = max(height, width) * min(0.4, 0.04 / max(next(numbers), 0.04))
        row, column = next(numbers) * height, next(numbers) * width
        balls.append((row, column, radius**2, [next(numbers) for _ in range(channels)]))
    image = {
        (y, x): next(
            (
                colour
                for row, column, size, colour in balls
                if (y - row) ** 2 + (x - column) ** 2 <= size
            ),
            behind,
        )
        for y in range(height)
        for x in range(width)
    }
    return [
        round(
            255 * (room + image[y, x][channel] * (1 - 2 * room))
            + grain * (2 * next(noise) / 255 - 1)
        )
        for channel in range(channels)
        for y in range(height)
        for x in range(width)
    ]


def test_anybody_can_derive_the_bases_and_finds_the_same() -> None:
    found = dead_leaves(PIXELS, "seed", 2)
    for place in range(2):
        assert found[place].ravel().tolist() == derived(PIXELS, "seed", place)
    digest = hashlib.sha256(found.tobytes()).hexdigest()
    assert digest.startswith("c45b15fce0a36502"), "registries rest on these very bytes"


def test_anybody_can_derive_the_grained_bases_and_finds_the_same() -> None:
    found = grained_leaves(PIXELS, "seed", 2)
    for place in range(2):
        assert found[place].ravel().tolist() == derived(PIXELS, "seed", place, grain=2)


def test_grain_is_faint_and_leaves_no_patch_of_one_exact_colour() -> None:
    plain, grained = (
        bases(PIXELS, "seed", 3).astype(int) for bases in (dead_leaves, grained_leaves)
    )
    assert 0 < np.abs(grained - plain).max() <= 2 * 2 + 1  # the noise, and the room made for it
    steps = np.abs(np.diff(grained, axis=3)).max(axis=1)
    assert (steps == 0).mean() < 0.05


def test_a_base_depends_on_the_seed_and_its_place_and_not_on_how_many_there_are() -> None:
    base = dead_leaves(PIXELS, "seed", 1)[0]
    assert base.dtype == np.uint8
    again = dead_leaves(PIXELS, "seed", 3)
    np.testing.assert_array_equal(again[0], base)
    assert len({one.tobytes() for one in again}) == 3
    assert not np.array_equal(dead_leaves(PIXELS, "other", 1)[0], base)


@pytest.mark.parametrize(
    "spec", [PIXELS, floats(64), floats(1, 50), floats(2, 9, 13), floats(2, 5, 6, 7), floats(1)]
)
@pytest.mark.parametrize("drawn_by", [dead_leaves, grained_leaves])
def test_every_base_leaves_room_on_both_sides(
    spec: InputSpec, drawn_by: Callable[[InputSpec, str, int], np.ndarray]
) -> None:
    bases = drawn_by(spec, "seed", 4).astype(float)
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
    ("shape", "count"),
    [((3, 8, 8), 7), ((3, 8, 6), 3), ((64,), 5), ((2, 30), 5), ((3, 66, 66), 11), ((3, 66, 90), 7)],
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


def test_turns_of_a_square_are_of_two_kinds_by_what_they_do_to_rows_and_columns() -> None:
    """A pattern of rows is one of columns after the first kind, of rows after the second."""
    bases = np.full((1, 3, 8, 8), 100, np.uint8)
    rows = np.random.default_rng(0).integers(-40, 41, (1, 1, 8, 1))
    exchanging, keeping = kinds_of((3, 8, 8), range(7))
    assert sorted((*exchanging, *keeping)) == [*range(7)]
    for turns, axis in ((exchanging, 1), (keeping, 2)):
        found = turned(bases, (bases + rows).astype(np.uint8), turns)[0]
        assert (found.max(axis=axis + 1) == found.min(axis=axis + 1)).all()
        assert (found.max(axis=4 - axis) > found.min(axis=4 - axis)).any()


def test_kinds_are_control_groups_of_their_own_above_64_pixels() -> None:
    assert control_groups((3, 64, 64), (5, 0, 4)) == ((0, 1, 2),)
    assert control_groups((3, 65, 65), (5, 0, 4, 2)) == ((1, 3), (0, 2))
    assert control_groups((3, 65, 65), (5, 0, 4)) == ((0, 1, 2),), "one turn is no group"
    assert control_groups((3, 224, 200), (2, 0)) == ((0, 1),)


@pytest.mark.parametrize("height", [66, 67])
def test_controls_of_large_pictures_are_upside_down_on_the_grid_of_even_rows(height: int) -> None:
    """The plain way: row r goes to ``centre - r`` with an even centre, and on by an even number."""
    shape = (3, height, 82)
    bases = np.full((1, *shape), 100, np.uint8)
    delta = np.random.default_rng(0).integers(-40, 41, size=shape)
    (found,) = turned(bases, (bases + delta).astype(np.uint8), chosen_kinds(shape, range(7))[0])
    rows, columns = np.arange(height)[:, None], np.arange(82)
    centre = height if height % 2 == 0 else height - 1
    for one, (down, across) in zip(found, [(0, 0), (0, 40), (32, 0), (32, 40)], strict=True):
        wanted = delta[:, (centre + down - rows) % height, (columns - across) % 82]
        np.testing.assert_array_equal(one.astype(int) - 100, wanted)


@pytest.mark.parametrize(
    ("shape", "told", "chosen"),
    [
        ((3, 64, 64), range(7), ((0, 1, 2, 3), (4, 5, 6))),
        ((3, 65, 65), range(11), ((7, 8, 9, 10),)),
        ((3, 65, 65), (0, 4, 7, 9, 10), ((7, 9, 10),)),
        ((3, 65, 65), (0, 1, 6, 7, 8), ((0, 1), (6,))),
        ((3, 65, 65), (8,), ((8,),)),
        ((3, 65, 90), range(7), ((3, 4, 5, 6),)),
        ((20000,), range(5), ((0, 1, 2, 3, 4),)),
    ],
)
def test_turns_on_the_grid_are_chosen_alone_where_there_are_enough(
    shape: tuple[int, ...], told: Sequence[int], chosen: tuple[tuple[int, ...], ...]
) -> None:
    assert chosen_kinds(shape, told) == chosen
    staying = len(shape) == 3 and len(chosen) == 1 and len(chosen[0]) > 2
    assert on_the_grid(shape, chosen[0]) == staying
    if staying:
        assert control_groups(shape, chosen[0]) == (tuple(range(len(chosen[0]))),)


@pytest.mark.parametrize("shape", [(3, 8, 6), (64,), (2, 30)])
def test_turns_of_everything_else_are_of_one_kind(shape: tuple[int, ...]) -> None:
    assert kinds_of(shape, (2, 0)) == ((2, 0),)
