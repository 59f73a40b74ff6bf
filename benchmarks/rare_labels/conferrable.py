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
from fingerprint.lab.training import Settings, from_logits, trained

__all__ = ["STUDENTS", "blended", "conferred", "student", "thief"]

STUDENTS = {"plain cnn": 12, "vit": 20, "resnet8": 10}
"""Architectures of the students that an owner trains, with their epochs."""
THIEF, _THIEF_EPOCHS = "wide cnn", 40
"""What learns on pictures that none of them sees."""
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
    name = _name(source, architecture)
    if not (folder / name).exists():
        settings = from_scratch(architecture, epochs=STUDENTS[architecture])
        _teach(source, architecture, _part(data, _half(data, name)), settings, folder / name)
    network = build(architecture)
    network.load_state_dict(load_file(folder / name))
    return network


def thief(source: Member, data: Data, folder: Path) -> Member:
    """Distils a source on pictures that none of its owner's students saw, an eighth of all.

    Args:
        source: The stolen model.
        data: Gives the training pictures.
        folder: Where the thief's network is kept.
    """
    path = folder / f"{stem(source.name)}__thief.safetensors"
    if not path.exists():
        seen = [_half(data, _name(source, architecture)) for architecture in STUDENTS]
        apart = np.setdiff1d(np.arange(len(data.train_labels)), np.concatenate(seen))
        settings = from_scratch(THIEF, epochs=_THIEF_EPOCHS)
        _teach(source, THIEF, _part(data, apart), settings, path)
    return replace(
        source,
        name=f"{source.name}/distilled, other pictures",
        modification="distilled, other pictures",
        group="student",
        architecture=THIEF,
        source=False,
        folded=False,
        file=path,
    )


def _name(source: Member, architecture: str) -> str:
    return f"{stem(source.name)}__{stem(architecture)}.safetensors"


def _half(data: Data, name: str) -> NDArray[np.intp]:
    """Returns the places of the training pictures that a student sees."""
    order = np.random.default_rng(seeded(name)).permutation(len(data.train_labels))
    return np.sort(order[: round(_SHARE * len(order))])


def _part(data: Data, places: NDArray[np.intp]) -> Data:
    images, labels = data.train_images[places], data.train_labels[places]
    return replace(data, train_images=images, train_labels=labels)


def _teach(source: Member, architecture: str, data: Data, settings: Settings, path: Path) -> None:
    """Trains a student on a source's logits, and writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed, loss = seeded(path.name), from_logits(source.network())
    write_weights(trained(ARCHITECTURES[architecture], data, settings, seed=seed, loss=loss), path)


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
