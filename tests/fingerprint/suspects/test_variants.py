"""The usual ways to feed an image model, each with the flags that state it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.network.spec import InputSpec
from fingerprint.suspects.variants import variants
from tests.support.fingerprints import make_model

IMAGES = np.random.default_rng(0).integers(0, 256, size=(5, 3, 4, 4), dtype=np.uint8)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def given(model: Model, **changes: tuple[float, ...]) -> Model:
    return replace(model, input=replace(model.input, **changes))


def test_each_variant_answers_as_its_flags_say() -> None:
    right = given(make_model(), **IMAGENET)
    wrong = dict(variants(given(right, mean=(0.5,), std=(0.5,))))
    fed = wrong["--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"]
    np.testing.assert_allclose(run(fed, IMAGES), run(right, IMAGES), rtol=1e-5, atol=1e-5)


def test_channels_turn_round_behind_the_normalisation() -> None:
    model = make_model()
    flipped = dict(variants(model))["channels in BGR order"]
    np.testing.assert_allclose(run(flipped, IMAGES), run(model, IMAGES[:, ::-1]), atol=1e-5)


def test_bytes_go_in_as_they_are() -> None:
    model = make_model()
    fed = dict(variants(model))["--mean 0 --std 0.00392157"]
    np.testing.assert_allclose(run(fed, IMAGES), 255 * run(model, IMAGES), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    "stated", [{}, {"mean": (0.0,), "std": (1.0,)}, {"mean": (0.0, 0.0, 0.0)}, IMAGENET]
)
def test_what_was_given_is_no_variant(stated: dict[str, tuple[float, ...]]) -> None:
    model = given(make_model(), **stated)
    found = list(variants(model))
    assert len(found) == len({flags for flags, _ in found}) == 13
    answers = [run(variant, IMAGES) for _, variant in found]
    assert not any(np.allclose(run(model, IMAGES), one, rtol=1e-3) for one in answers)


def test_a_normalisation_of_its_own_is_kept_when_only_channels_turn() -> None:
    model = given(make_model(), mean=(0.1, 0.2, 0.3), std=(0.4,))
    flipped = dict(variants(model))["channels in BGR order"]
    assert flipped.input == model.input


def test_grey_images_have_no_order_of_channels() -> None:
    flags = [flags for flags, _ in variants(make_model(shape=(1, 4, 4)))]
    assert flags
    assert not any("BGR" in one for one in flags)


@pytest.mark.parametrize(
    "spec",
    [InputSpec(shape=(3, 4, 4), kind="float", bounds=(-1.0, 1.0)), InputSpec(shape=(4, 4, 3))],
)
def test_other_inputs_have_no_variants(spec: InputSpec) -> None:
    assert list(variants(replace(make_model(), input=spec))) == []
