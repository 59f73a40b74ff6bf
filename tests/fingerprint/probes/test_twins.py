"""Twins: what takes their difference away leaves a mosaic and its twin one and the same picture."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fingerprint.network.spec import InputSpec
from fingerprint.probes.twins import PAIRS, twin_count, twin_inputs, twin_kinds

SPECS = {
    "colour": InputSpec(shape=(3, 32, 32)),
    "odd": InputSpec(shape=(3, 45, 61)),
    "grey": InputSpec(shape=(1, 16, 16)),
}


def groups(spec: InputSpec) -> dict[str, NDArray[Any]]:
    """Pictures ``(N, H, W, C)`` by kind, the mosaics under ``plain``."""
    parts = np.split(twin_inputs(spec, "seed"), len(twin_kinds(spec)) + 1)
    return {
        name: part.transpose(0, 2, 3, 1)
        for name, part in zip(("plain", *twin_kinds(spec)), parts, strict=True)
    }


def jpeg(picture: NDArray[Any], quality: int, subsampling: int = 0) -> NDArray[np.int64]:
    stream = io.BytesIO()
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    image.save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(stream)).astype(np.int64)


@pytest.mark.parametrize("name", SPECS)
def test_twins_are_pictures_and_differ_from_their_mosaics_in_one_thing(name: str) -> None:
    spec = SPECS[name]
    inputs = twin_inputs(spec, "seed")
    found = groups(spec)
    assert inputs.dtype == np.uint8
    assert len(inputs) == twin_count(spec) == PAIRS * (1 + len(twin_kinds(spec)))
    assert len({one.tobytes() for one in inputs}) == len(inputs)
    assert np.array_equal(inputs, twin_inputs(spec, "seed"))
    assert not np.array_equal(inputs, twin_inputs(spec, "another"))
    for kind in twin_kinds(spec):
        assert (found[kind] != found["plain"]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("quality", [50, 75, 90, 95])
@pytest.mark.parametrize("name", SPECS)
def test_faint_detail_does_not_survive_jpeg(name: str, quality: int) -> None:
    found = groups(SPECS[name])
    for plain, twin in zip(found["plain"], found["faint"], strict=True):
        assert abs(plain.astype(int) - twin).mean() > 0.5
        np.testing.assert_array_equal(jpeg(plain, quality), jpeg(twin, quality))


@pytest.mark.parametrize("quality", [75, 95])
def test_the_colour_of_single_pixels_does_not_survive_subsampling(quality: int) -> None:
    found = groups(SPECS["colour"])
    for plain, twin in zip(found["plain"], found["chroma"], strict=True):
        apart = abs(jpeg(plain, quality, 2) - jpeg(twin, quality, 2)).mean()
        assert apart < 0.02 * abs(plain.astype(int) - twin).mean()
        assert abs(jpeg(plain, quality) - jpeg(twin, quality)).mean() > 10


def test_colour_does_not_survive_a_grey_copy_of_either_kind() -> None:
    found = groups(SPECS["colour"])
    plain, twin = found["plain"].astype(float), found["colour"].astype(float)
    for weights in ((0.299, 0.587, 0.114), (1 / 3, 1 / 3, 1 / 3)):
        np.testing.assert_allclose(plain @ weights, twin @ weights, atol=0.01)


def test_a_border_lies_on_one_side_of_each_twin() -> None:
    found = groups(SPECS["odd"])
    changed = (found["border"] != found["plain"]).any(axis=3)
    assert not changed[:, 1:-1, 1:-1].any()
    for side, line in enumerate((np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1])):
        for pair in range(side, PAIRS, 4):
            assert changed[pair][line].all()


def test_fine_detail_is_gone_at_half_the_size() -> None:
    found = groups(SPECS["colour"])
    halves = [
        found[kind].reshape(PAIRS, 16, 2, 16, 2, 3).mean(axis=(2, 4)) for kind in ("plain", "fine")
    ]
    np.testing.assert_array_equal(*halves)


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(shape=(3, 15, 64)),
        InputSpec(shape=(4, 32, 32)),
        InputSpec(shape=(64,)),
        InputSpec(shape=(3, 32, 32), kind="float", bounds=(-1.0, 1.0)),
    ],
)
def test_there_are_none_of_what_is_no_picture(spec: InputSpec) -> None:
    assert twin_inputs(spec, "seed").shape == (0, *spec.shape)
    assert twin_count(spec) == 0
