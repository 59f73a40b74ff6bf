"""Inputs are sent as the flags of files say a model is fed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fingerprint.errors import UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.suspects.endpoints.form import Form

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
COLOUR = InputSpec(shape=(3, 4, 5))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def test_pixels_are_sent_between_zero_and_one() -> None:
    sent = Form(spec=COLOUR).tensors(PIXELS)
    assert (sent.dtype, sent.shape) == (np.float32, (2, 3, 4, 5))
    np.testing.assert_allclose(sent, PIXELS / 255, rtol=1e-6)


def test_mean_and_deviation_are_applied_before_channels_are_turned_round() -> None:
    spec = InputSpec(shape=(3, 4, 5), mean=MEAN, std=STD)
    plain = (PIXELS / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    np.testing.assert_allclose(Form(spec=spec).tensors(PIXELS), plain, rtol=1e-4, atol=1e-6)
    sent = Form(spec=spec, layout="nhwc", channels="bgr").tensors(PIXELS)
    turned = plain[:, ::-1].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(sent, turned, rtol=1e-4, atol=1e-6)


def test_uint8_sends_the_pixels_themselves() -> None:
    sent = Form(spec=COLOUR, dtype="uint8", layout="nhwc").tensors(PIXELS)
    assert sent.dtype == np.uint8
    np.testing.assert_array_equal(sent, PIXELS.transpose(0, 2, 3, 1))


def test_other_values_are_sent_as_they_are_in_the_shape_that_is_wanted() -> None:
    values = np.linspace(-2, 2, 12, dtype=np.float32).reshape(2, 6)
    spec = InputSpec(shape=(6,), kind="float", bounds=(-2, 2))
    sent = Form(spec=spec, sent=(2, 3)).tensors(values)
    np.testing.assert_array_equal(sent, values.reshape(2, 2, 3))


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5)])
def test_a_picture_file_holds_the_very_pixels(shape: tuple[int, ...]) -> None:
    inputs = PIXELS[:, : shape[0]]
    for file, pixels in zip(
        Form(spec=InputSpec(shape=shape)).pictures(inputs, "PNG"), inputs, strict=True
    ):
        read = np.asarray(Image.open(io.BytesIO(file)))
        np.testing.assert_array_equal(read.reshape(4, 5, -1).transpose(2, 0, 1), pixels)


def test_a_jpeg_is_one() -> None:
    (file, _) = Form(spec=COLOUR).pictures(PIXELS, "JPEG")
    assert Image.open(io.BytesIO(file)).format == "JPEG"


@pytest.mark.parametrize(
    ("spec", "changes", "said"),
    [
        (InputSpec(shape=(6,), kind="float"), {"layout": "nhwc"}, "layout"),
        (InputSpec(shape=(1, 4, 5)), {"channels": "bgr"}, "channels"),
        (InputSpec(shape=(6,), kind="float"), {"dtype": "uint8"}, "uint8"),
        (InputSpec(shape=(3, 4, 5), mean=MEAN), {"dtype": "uint8"}, "--mean"),
        (COLOUR, {"sent": (3, 4, 4)}, "--input-size"),
        (COLOUR, {"layout": "hwc"}, "nchw or nhwc"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    spec: InputSpec, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Form(spec=spec, **changes)


@pytest.mark.parametrize(
    "form",
    [
        Form(spec=InputSpec(shape=(3, 4, 5), mean=MEAN, std=STD)),
        Form(spec=COLOUR, layout="nhwc"),
        Form(spec=COLOUR, dtype="uint8"),
        Form(spec=InputSpec(shape=(4, 4, 5))),
        Form(spec=InputSpec(shape=(6,), kind="float")),
    ],
)
def test_who_sends_pictures_takes_no_word_about_tensors(form: Form) -> None:
    with pytest.raises(UsageError):
        form.require_pictures()
    Form(spec=COLOUR).require_pictures()
