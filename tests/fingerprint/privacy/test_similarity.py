"""SSIM is Wang's formula, computed plainly; small images have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from fingerprint.errors import UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.privacy import similarities


def _images(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, *shape), dtype=np.uint8)


def _plain_ssim(first: np.ndarray, second: np.ndarray) -> float:
    axis = np.arange(11) - 5.0
    window = np.exp(-(axis**2) / (2 * 1.5**2))
    kernel = np.outer(window, window) / window.sum() ** 2

    def mean(values: np.ndarray) -> np.ndarray:
        return convolve(values, kernel)[5:-5, 5:-5]

    a, b = mean(first), mean(second)
    va, vb = mean(first**2) - a**2, mean(second**2) - b**2
    cov = mean(first * second) - a * b
    top = (2 * a * b + 0.01**2) * (2 * cov + 0.03**2)
    return float(np.mean(top / ((a**2 + b**2 + 0.01**2) * (va + vb + 0.03**2))))


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 32)])
def test_ssim_and_mse_are_those_of_plain_formulas(shape: tuple[int, ...]) -> None:
    first, second = _images(shape), _images(shape, 1)
    for row, found in enumerate(similarities(InputSpec(shape=shape), first, second)):
        a, b = first[row] / 255, second[row] / 255
        plain = np.mean([_plain_ssim(one, other) for one, other in zip(a, b, strict=True)])
        negative = np.mean([_plain_ssim(1 - one, other) for one, other in zip(a, b, strict=True)])
        assert found.ssim == pytest.approx(plain, abs=1e-6)
        assert found.ssim_inverted == pytest.approx(negative, abs=1e-6)
        assert found.mse == pytest.approx(float(np.mean((a - b) ** 2)))
        assert found.note == ""


def test_an_image_is_like_itself_and_its_negative_like_the_negative() -> None:
    images = _images((1, 16, 16))
    same, negative = (
        similarities(InputSpec(shape=(1, 16, 16)), images, other)[0]
        for other in (images, 255 - images)
    )
    assert same.ssim == pytest.approx(1)
    assert same.haarpsi == pytest.approx(1, abs=1e-4)
    assert negative.ssim_inverted == pytest.approx(1)
    assert negative.ssim is not None
    assert negative.ssim < 0.1


@pytest.mark.parametrize(
    ("shape", "missing", "words"),
    [
        ((1, 8, 8), {"ssim", "ssim_inverted", "haarpsi"}, "SSIM needs"),
        ((1, 12, 12), {"haarpsi"}, "HaarPSI needs"),
        ((7, 16, 16), {"ssim", "ssim_inverted", "haarpsi"}, "1 or 3 channels"),
    ],
)
def test_what_is_not_defined_is_none_and_says_why(
    shape: tuple[int, ...], missing: set[str], words: str
) -> None:
    images = _images(shape).astype(np.float32) / 255
    spec = InputSpec(shape=shape, kind="float", bounds=(0, 1))
    found = similarities(spec, images, images)[0]
    assert {name for name, value in found.to_dict().items() if value is None} == missing
    assert words in found.note


def test_bounds_are_scaled_away() -> None:
    images = _images((1, 16, 16))
    spec = InputSpec(shape=(1, 16, 16), kind="float", bounds=(-1, 1))
    wide = images.astype(np.float32) / 127.5 - 1
    one = similarities(spec, wide, wide[::-1])[0]
    other = similarities(InputSpec(shape=(1, 16, 16)), images, images[::-1])[0]
    assert one.mse == pytest.approx(other.mse, rel=1e-4)
    assert one.ssim == pytest.approx(other.ssim, rel=1e-3)


def test_batches_of_two_shapes_are_refused() -> None:
    images = _images((1, 16, 16))
    with pytest.raises(UsageError, match="similarity: expected"):
        similarities(InputSpec(shape=(1, 16, 16)), images, torch.zeros(2, 1, 8, 8))
