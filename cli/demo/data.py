"""Real images small enough to train on in seconds: scikit-learn's handwritten digits.

The 8×8 originals have only 64 pixels for 10 answers, which leaves little room for harmless
perturbations, so they are enlarged once, here, and stored as 8-bit images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch.nn import functional

__all__ = ["DEFAULT_SIZE", "Digits", "digits"]

DEFAULT_SIZE = 16
"""Side of the enlarged images, in pixels."""

_ORIGINAL_MAXIMUM = 16.0
_TRAINING_SHARE = 0.8
_SPLIT_SEED = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Digits:
    """The ten digits as 8-bit images, split once for everyone.

    Attributes:
        train_images: uint8, shape ``(N, 1, size, size)``.
        train_labels: int64, shape ``(N,)``.
        test_images: uint8, shape ``(M, 1, size, size)``.
        test_labels: int64, shape ``(M,)``.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]

    @property
    def input_size(self) -> tuple[int, int, int]:
        """Shape of one image, ``(1, size, size)``."""
        _, channels, height, width = self.train_images.shape
        return (channels, height, width)


def digits(size: int = DEFAULT_SIZE) -> Digits:
    """Loads the digits, bilinearly enlarged to ``size`` × ``size`` 8-bit images.

    Args:
        size: Side of the images in pixels.

    Returns:
        1437 training and 360 test images; the split does not depend on any caller's seed.
    """
    raw = load_digits()
    originals = torch.from_numpy(raw.images).unsqueeze(1) / _ORIGINAL_MAXIMUM
    enlarged = functional.interpolate(
        originals, size=(size, size), mode="bilinear", align_corners=False
    )
    images = (enlarged * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    labels = raw.target.astype(np.int64)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    train, test = np.split(order, [round(len(labels) * _TRAINING_SHARE)])
    return Digits(
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )
