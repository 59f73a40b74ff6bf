"""The digits, and the tasks made from the ten classes."""

from __future__ import annotations

import numpy as np

from fingerprint.lab import data as lab
from fingerprint.lab.data import TASKS
from tests.fingerprint.lab.parts import few_images
from tests.support.digits import digits


def test_digits_are_eight_bit_images_that_use_the_whole_range() -> None:
    loaded = digits()
    assert loaded.train_images.dtype == np.uint8
    assert loaded.train_images.shape[1:] == loaded.input_size == (1, 16, 16)
    assert loaded.train_images.min() == 0
    assert loaded.train_images.max() == 255


def test_another_size_gives_images_of_that_size() -> None:
    assert lab.digits(8).input_size == (1, 8, 8)


def test_training_and_test_images_do_not_overlap() -> None:
    loaded = digits()
    seen = {image.tobytes() for image in loaded.train_images}
    assert not any(image.tobytes() in seen for image in loaded.test_images)


def test_turning_back_by_the_label_restores_every_image() -> None:
    data = few_images()
    turned = TASKS["rotation"].of(data)
    back = [
        np.rot90(image, -label, axes=(1, 2))
        for image, label in zip(turned.train_images, turned.train_labels, strict=True)
    ]
    np.testing.assert_array_equal(np.stack(back), data.train_images)
    assert set(turned.train_labels) == set(range(TASKS["rotation"].classes))


def test_five_classes_keep_their_images_and_no_other() -> None:
    data = few_images()
    part = TASKS["five classes"].of(data)
    assert set(part.test_labels) == set(range(5))
    wanted = [
        image for image, label in zip(data.test_images, data.test_labels, strict=True) if label < 5
    ]
    np.testing.assert_array_equal(part.test_images, np.stack(wanted))


def test_class_pairs_keep_every_image_and_halve_the_labels() -> None:
    data = few_images()
    pairs = TASKS["class pairs"].of(data)
    np.testing.assert_array_equal(pairs.test_images, data.test_images)
    assert set(pairs.train_labels) == set(range(TASKS["class pairs"].classes))
    assert pairs.train_labels[0] == data.train_labels[0] // 2
