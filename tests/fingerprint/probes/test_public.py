"""Public bases: the same for everyone, and never twice the same."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.network.spec import InputSpec
from fingerprint.probes.public import public_bases
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
