"""The images every network of the zoo is trained and tested on, and the tasks made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cli.demo.data import Digits, digits

__all__ = ["CLASSES", "TASKS", "Data", "Task", "load_data"]

CLASSES = 10

_CIFAR_FILE = "cifar10_sample.npz"
_ORDER_SEED = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Data(Digits):
    """Ten classes of 8-bit images in random order, split once for everyone.

    Attributes:
        name: ``cifar10`` or ``digits``.
        train_images: uint8, shape ``(N, C, H, W)``.
        train_labels: int64, shape ``(N,)``.
        test_images: uint8, shape ``(M, C, H, W)``.
        test_labels: int64, shape ``(M,)``.
    """

    name: str


def load_data(folder: Path | None) -> Data:
    """Loads the images of the benchmark.

    Args:
        folder: Has ``cifar10_sample.npz``, images ``(N, 32, 32, 3)``. Without it, the
            demo's digits, ``(N, 1, 16, 16)``.

    Raises:
        FileNotFoundError: The folder has no such file.
    """
    if folder is None:
        small = digits()
        return Data(
            name="digits",
            train_images=small.train_images,
            train_labels=small.train_labels,
            test_images=small.test_images,
            test_labels=small.test_labels,
        )
    with np.load(folder / _CIFAR_FILE) as arrays:
        train = _shuffled(arrays["train_images"], arrays["train_labels"])
        test = _shuffled(arrays["test_images"], arrays["test_labels"])
    return Data(
        name="cifar10",
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
    )


def _shuffled(
    images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns channels-first images in an order in which any few of them show all classes."""
    order = np.random.default_rng(_ORDER_SEED).permutation(len(labels))
    channels_first = images[order].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(channels_first), labels[order].astype(np.int64)


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
    turns = np.random.default_rng(_ORDER_SEED).integers(4, size=len(images))
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
