"""The panel derives from seed and domain alone, the same on every machine."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from fingerprint.network.spec import InputSpec
from fingerprint.probes.panel import PANEL, panel_inputs, panel_kinds

IMAGE = InputSpec(shape=(3, 20, 32))
SPECS = [
    IMAGE,
    InputSpec(shape=(1, 5, 3)),
    InputSpec(shape=(7,), kind="float", bounds=(-2.0, 5.0)),
    InputSpec(shape=(2, 40), kind="float", bounds=(0.0, 0.5)),
    InputSpec(shape=(2, 6, 7, 5), kind="float", bounds=(-1.0, 1.0)),
]


@pytest.mark.parametrize("spec", SPECS)
def test_inputs_are_valid_and_no_two_alike(spec: InputSpec) -> None:
    inputs = panel_inputs(spec, "seed")
    assert inputs.shape == (PANEL, *spec.shape)
    assert inputs.dtype == (np.uint8 if spec.kind == "pixels" else np.float32)
    if spec.kind == "float":
        assert inputs.min() >= np.float32(spec.bounds[0])
        assert inputs.max() <= np.float32(spec.bounds[1])
    if spec.size > 10:
        assert len({one.tobytes() for one in inputs}) == PANEL


def test_an_input_depends_on_seed_domain_and_place_only() -> None:
    inputs = panel_inputs(IMAGE, "seed", 8)
    normalised = replace(IMAGE, mean=(0.5,), std=(0.5,))
    assert np.array_equal(panel_inputs(normalised, "seed", 5), inputs[:5])
    assert not np.array_equal(panel_inputs(IMAGE, "other", 8)[0], inputs[0])
    other = panel_inputs(InputSpec(shape=(3, 32, 20)), "seed", 8)
    assert not np.array_equal(other[0].ravel(), inputs[0].ravel())


def test_an_empty_panel_has_the_right_shape() -> None:
    assert panel_inputs(IMAGE, "seed", 0).shape == (0, *IMAGE.shape)


def test_each_input_is_followed_by_its_negative() -> None:
    inputs = panel_inputs(IMAGE, "seed", 5)
    kinds = ("binary", "binary-negative", "uniform", "uniform-negative", "binary")
    assert panel_kinds(5) == kinds
    assert [set(np.unique(one)) <= {0, 255} for one in inputs] == [True, True, False, False, True]
    assert np.array_equal(inputs[1::2], 255 - inputs[:-1:2])
    floats = panel_inputs(SPECS[2], "seed", 4)
    np.testing.assert_allclose(floats[1::2] + floats[::2], 3.0, atol=1e-6)


def test_the_panel_is_the_same_everywhere() -> None:
    digest = hashlib.sha256(panel_inputs(IMAGE, "seed").tobytes()).hexdigest()
    assert digest.startswith("ae2e4342ddd8ae33"), "registered answers rest on these very bytes"
