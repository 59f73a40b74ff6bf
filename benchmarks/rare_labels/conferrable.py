"""Rare labels that students share: what an owner's own students tell of somebody else's.

A student learns a model's answers, not its weights, and not all of its rare mistakes. Lukas, Zhang
and Kerschbaum, "Deep Neural Network Fingerprinting by Conferrable Adversarial Examples", ICLR 2021,
ask what students do learn: the owner trains a few, and takes inputs on which they agree with his
model while networks that have nothing to do with it do not. They make such inputs by gradients;
here they are chosen, among pictures and blends of two, so that labels suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from benchmarks.data import write_weights
from benchmarks.detection.bases import from_scratch
from benchmarks.detection.recipe import seeded
from benchmarks.detection.zoo import Member, stem
from fingerprint.evidence.rare_labels import rarest
from fingerprint.lab.architectures import ARCHITECTURES, build
from fingerprint.lab.data import Data
from fingerprint.lab.training import from_logits, trained

__all__ = ["STUDENTS", "blended", "conferred", "student"]

STUDENTS = {"plain cnn": 12, "vit": 20, "resnet8": 10}
"""Architectures of the students that an owner trains, with their epochs."""
_SHARE = 0.5
"""Share of the training pictures that each of them sees."""
_BLENDS = 4
"""Blends for each picture."""
_SEED = 5


def student(source: Member, architecture: str, data: Data, folder: Path) -> nn.Module:
    """Trains a student on a source's logits, or reads the one that was trained before.

    Args:
        source: The owner's model.
        architecture: A key of :data:`STUDENTS`.
        data: Gives the training pictures; each student sees its own half.
        folder: Where it is kept.

    Returns:
        The student, in evaluation mode.
    """
    path = folder / f"{stem(source.name)}__{stem(architecture)}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = trained(
            ARCHITECTURES[architecture],
            _half(data, seeded(path.name)),
            from_scratch(architecture, epochs=STUDENTS[architecture]),
            seed=seeded(path.name),
            loss=from_logits(source.network()),
        )
        write_weights(made, path)
    network = build(architecture)
    network.load_state_dict(load_file(path))
    return network


def _half(data: Data, seed: int) -> Data:
    order = np.random.default_rng(seed).permutation(len(data.train_labels))
    seen = np.sort(order[: round(_SHARE * len(order))])
    return replace(data, train_images=data.train_images[seen], train_labels=data.train_labels[seen])


def blended(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns blends of two pictures each, six parts to four, four times as many as there are."""
    generator = np.random.default_rng(_SEED)
    orders = [[generator.permutation(len(images)) for _ in range(2)] for _ in range(_BLENDS)]
    wide = images.astype(np.int64)
    return np.concatenate([(6 * wide[one] + 4 * wide[two]) // 10 for one, two in orders]).astype(
        np.uint8
    )


def conferred(
    own: NDArray[np.int64],
    taught: Sequence[NDArray[np.int64]],
    references: Sequence[NDArray[np.int64]],
    count: int,
) -> NDArray[np.intp]:
    """Chooses the rarest labels among those that all students share.

    Args:
        own: The source's labels, shape ``(N,)``.
        taught: Those of its students.
        references: Those of networks that have nothing to do with it.
        count: How many.

    Returns:
        Places of the pictures, rarest first; fewer than ``count`` where students share no more.
    """
    shared = np.flatnonzero(np.all([one == own for one in taught], axis=0))
    order = np.random.default_rng(_SEED).permutation(shared)  # of equally rare ones, any
    return rarest(own, [one[None] for one in references], order, count)[0]
