"""The whole zoo, in order of importance: whatever the time allows is worth measuring."""

from __future__ import annotations

from pathlib import Path

from benchmarks.detection import bases
from benchmarks.detection.modifications import Lineage, converted, learned
from benchmarks.detection.recipe import Recipe
from fingerprint.lab.data import Data

__all__ = ["plan"]

_ADAMW = ("1e-4", "1e-3", "3e-3")


def plan(data: Data, folder: Path | None) -> tuple[Recipe, ...]:
    """Returns every recipe: sources and their copies, other networks, fine-tunes, students.

    Args:
        data: The images; digits make the small zoo.
        folder: Has the published networks in ``zoo/``; needed for CIFAR-10.

    Raises:
        ValueError: CIFAR-10 without a folder.
    """
    if data.name == "digits":
        every, lineages = bases.digits(), _digits()
    elif folder is not None:
        every, lineages = bases.cifar(folder), _cifar(folder)
    else:
        raise ValueError(f"expected the folder of {data.name} with its zoo/, got none: give --data")
    named = {name for line in lineages for name in (line.source, line.peer)}
    first = [recipe for recipe in every if recipe.name in named]
    rest = [recipe for recipe in every if recipe.name not in named]
    return (*first, *converted(lineages), *rest, *learned(lineages))


def _cifar(folder: Path) -> list[Lineage]:
    return [
        Lineage(
            source="resnet20",
            architecture="resnet20",
            peer="resnet20_independent",
            other="plain cnn",
            student_epochs=7,
            published=folder,
        ),
        Lineage(source="plain cnn 0", architecture="plain cnn", peer="plain cnn 1", other="vit"),
        Lineage(
            source="vit 0",
            architecture="vit",
            peer="vit 1",
            other="plain cnn",
            fine_tuning=_ADAMW,
            optimizer="adamw",
        ),
        Lineage(
            source="wide cnn 0",
            architecture="wide cnn",
            peer="wide cnn 1",
            other="mixer",
            symmetric=False,
        ),
        Lineage(source="resnet8 0", architecture="resnet8", peer="resnet8 1", other="wide cnn"),
        Lineage(
            source="separable cnn 0",
            architecture="separable cnn",
            peer="separable cnn 1",
            other="resnet8",
            symmetric=False,
        ),
        Lineage(
            source="mixer 0",
            architecture="mixer",
            peer="mixer 1",
            other="wide cnn",
            fine_tuning=_ADAMW,
            optimizer="adamw",
            symmetric=False,
        ),
        Lineage(
            source="convnext 0",
            architecture="convnext",
            peer="convnext 1",
            other="wide cnn",
            fine_tuning=_ADAMW,
            optimizer="adamw",
            symmetric=False,
        ),
    ]


def _digits() -> list[Lineage]:
    """The same modifications for each; one export shows that exporting works."""
    return [
        Lineage(
            source="digits cnn 0",
            architecture="digits cnn",
            peer="digits cnn 1",
            other="digits mlp",
        ),
        Lineage(
            source="digits vit 0",
            architecture="digits vit",
            peer="digits vit 1",
            other="digits cnn",
            fine_tuning=_ADAMW,
            optimizer="adamw",
            adversarial=False,
            exported=False,
        ),
        Lineage(
            source="digits slim cnn 0",
            architecture="digits slim cnn",
            peer="digits slim cnn 1",
            other="digits mlp",
            adversarial=False,
            exported=False,
        ),
    ]
