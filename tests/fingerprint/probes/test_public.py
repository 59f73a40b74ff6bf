"""Public bases: the same for everyone, and never twice the same."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.errors import UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.probes.bases import room_of
from fingerprint.probes.public import chosen_images, public_bases
from fingerprint.probes.turns import turned
from fingerprint.solvers.noise import base_input

GREY = InputSpec(shape=(1, 16, 16))


def first_draws(seed: str) -> np.ndarray:
    label = f"nullprint|{seed}|{GREY.domain}|base|"
    return np.stack([base_input(GREY, f"{label}{place}") for place in range(6)])


def different(bases: np.ndarray) -> int:
    return len({base.tobytes() for base in bases})


@pytest.mark.parametrize("seed", ["seed 13", "seed 17"])
def test_a_base_that_equals_an_earlier_one_is_drawn_again(seed: str) -> None:
    assert different(first_draws(seed)) == 5, "a seed whose first draws do not collide"
    bases = public_bases(GREY, seed, 6)
    assert different(bases) == 6
    np.testing.assert_array_equal(bases, public_bases(GREY, seed, 6))


def test_bases_that_differ_stay_as_they_were_drawn() -> None:
    np.testing.assert_array_equal(public_bases(GREY, "seed 0", 6), first_draws("seed 0"))


def test_the_first_bases_do_not_depend_on_how_many_are_wanted() -> None:
    few, many = (public_bases(GREY, "seed 13", count) for count in (3, 6))
    np.testing.assert_array_equal(few, many[:3])


# Images of the owner's own.


def test_chosen_images_keep_their_pattern_with_their_contrast_reduced() -> None:
    images = np.zeros((3, *GREY.shape), np.uint8)
    images[:, 0, :, :8] = 255
    images[1], images[2] = 0, 128
    found = chosen_images(GREY, images, "seed", 2)
    assert found.dtype == np.uint8
    assert {48, 207} >= {*found.ravel().tolist()} - {128}
    np.testing.assert_array_equal(found, chosen_images(GREY, images[::-1].copy(), "seed", 2))
    every = {chosen_images(GREY, images, f"seed {place}", 1).tobytes() for place in range(30)}
    assert len(every) == 3, "which of them is the seed's to say"


@pytest.mark.parametrize("bounds", [(1023.9, 1024.9), (-1024.1, -1023.6), (-2.118, 2.64), (0, 1)])
def test_float_images_leave_room_for_every_turned_perturbation(
    bounds: tuple[float, float],
) -> None:
    """Black beside white: the largest δ of one is turned onto the other, after rounding."""
    spec = InputSpec(shape=(1, 4, 4), kind="float", bounds=bounds)
    low, high = (np.float32(end) for end in bounds)
    images = np.full((1, *spec.shape), low, np.float32)
    images[0, 0, :, ::2] = high
    base = chosen_images(spec, images, "seed", 1)
    exact = base.astype(np.float64)
    room = min((exact - bounds[0]).min(), (bounds[1] - exact).min())
    for sign in (-1, 1):
        harmless = np.clip((base + sign * room_of(spec)).astype(np.float32), low, high)
        assert np.abs(harmless.astype(np.float64) - exact).max() <= room, "or it cannot be read"
        controls = turned(base, harmless, range(7))
        assert controls.min() >= low
        assert controls.max() <= high


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((9, 1, 16, 15), np.uint8), "of shape"),
        (np.zeros((9, 1, 16, 16), np.float32), "uint8"),
        (np.zeros((2, 1, 16, 16), np.uint8), "at least 3"),
    ],
)
def test_images_that_do_not_fit_are_a_wrong_call(images: np.ndarray, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen_images(GREY, images, "seed", 3)
