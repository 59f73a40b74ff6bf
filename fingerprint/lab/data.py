"""Labelled images to train small networks on, and the tasks that can be made of ten classes.

scikit-learn's handwritten digits are at hand everywhere. The 8×8 originals have only 64 pixels for
10 answers, which leaves little room for harmless perturbations, so they are enlarged once, here,
and stored as 8-bit images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

__all__ = ["CLASSES", "DEFAULT_SIZE", "TASKS", "Data", "Task", "digits"]

CLASSES = 10

DEFAULT_SIZE = 16
"""Side of the enlarged digits, in pixels."""

_ORIGINAL_MAXIMUM = 16.0
_TRAINING_SHARE = 0.8
_SPLIT_SEED = 0
_TURNS_SEED = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """Ten classes of 8-bit images, split once for everyone.

    Attributes:
        name: What they are of, such as ``digits``.
        train_images: uint8, shape ``(N, C, H, W)``.
        train_labels: int64, shape ``(N,)``.
        test_images: uint8, shape ``(M, C, H, W)``.
        test_labels: int64, shape ``(M,)``.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]

    @property
    def input_size(self) -> tuple[int, int, int]:
        """Shape of one image, ``(C, H, W)``."""
        _, channels, height, width = self.train_images.shape
        return (channels, height, width)


def digits(size: int = DEFAULT_SIZE) -> Data:
    """Loads the digits, bilinearly enlarged to ``size`` × ``size`` 8-bit images.

    Args:
        size: Side of the images in pixels.

    Returns:
        1437 training and 360 test images of shape ``(1, size, size)``; the split does not depend
        on any caller's seed.
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    originals = torch.from_numpy(raw.images).unsqueeze(1) / _ORIGINAL_MAXIMUM
    enlarged = functional.interpolate(
        originals, size=(size, size), mode="bilinear", align_corners=False
    )
    images = (enlarged * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    labels = raw.target.astype(np.int64)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    train, test = np.split(order, [round(len(labels) * _TRAINING_SHARE)])
    return Data(
        name="digits",
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )


@dataclass(frozen=True)
class Task:
    """What a network is trained to answer, made from the ten classes.

    Attributes:
        classes: Number of answers.
        of: Turns a set of images and labels into this task's.
    """

    classes: int
    of: Callable[[Data], Data]


def _first_five(data: Data) -> Data:
    train, test = data.train_labels < 5, data.test_labels < 5
    return replace(
        data,
        train_images=data.train_images[train],
        train_labels=data.train_labels[train],
        test_images=data.test_images[test],
        test_labels=data.test_labels[test],
    )


def _pairs(data: Data) -> Data:
    return replace(data, train_labels=data.train_labels // 2, test_labels=data.test_labels // 2)


def _turned(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    turns = np.random.default_rng(_TURNS_SEED).integers(4, size=len(images))
    turned = [np.rot90(image, turn, axes=(1, 2)) for image, turn in zip(images, turns, strict=True)]
    return np.stack(turned), turns.astype(np.int64)


def _rotation(data: Data) -> Data:
    train_images, train_labels = _turned(data.train_images)
    test_images, test_labels = _turned(data.test_images)
    return replace(
        data,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
    )


TASKS = {
    "classes": Task(CLASSES, lambda data: data),
    "five classes": Task(5, _first_five),
    "class pairs": Task(5, _pairs),
    "rotation": Task(4, _rotation),
}
"""``classes``: the ten as they are; ``five classes``: only images of the first five;
``class pairs``: neighbouring classes as one; ``rotation``: by how many quarter turns an image was
rotated (Gidaris et al. 2018)."""
