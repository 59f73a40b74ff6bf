"""The networks that descend from no other: published ones, and trained ones of many kinds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from benchmarks.detection.recipe import Recipe, base_recipe, seeded
from fingerprint.lab.architectures import ARCHITECTURES, body, build
from fingerprint.lab.data import Data
from fingerprint.lab.training import Settings, trained

__all__ = ["cifar", "digits", "from_scratch", "stored"]

_CIFAR_EPOCHS = {
    "plain cnn": 12,
    "vit": 25,
    "resnet8": 10,
    "wide cnn": 14,
    "separable cnn": 12,
    "mixer": 12,
    "convnext": 16,
    "mlp": 25,
}
_DIGITS_EPOCHS = 12


def cifar(folder: Path) -> list[Recipe]:
    """Returns twenty-three networks, the sources and one relative of each kind first.

    Args:
        folder: Has the published networks in ``zoo/``.
    """
    return [
        _published(folder, "resnet20", "resnet20", source=True),
        *_several("plain cnn", [0], source=True),
        _published(folder, "resnet20_independent", "resnet20"),
        *_several("vit", [0], source=True),
        _published(folder, "resnet44", "resnet44"),
        *_several("plain cnn", [1]),
        *_several("vit", [1]),
        *_several("mlp", [0]),
        *_several("wide cnn", [0], source=True),
        *_several("resnet8", [0], source=True),
        *_several("plain cnn", [2]),
        *_several("vit", [2]),
        *_several("separable cnn", [0], source=True),
        *_several("mixer", [0], source=True),
        *_several("wide cnn", [1]),
        *_several("plain cnn", [3]),
        *_several("vit", [3]),
        *_several("plain cnn", [4]),
        *_several("resnet8", [1]),
        *_several("separable cnn", [1]),
        *_several("mixer", [1]),
        *_several("convnext", [0], source=True),
        *_several("convnext", [1]),
    ]


def digits() -> list[Recipe]:
    """Returns eleven networks of four kinds, three of them sources."""
    return [
        *_several("digits cnn", range(3), source=True),
        *_several("digits vit", range(3), source=True),
        *_several("digits slim cnn", range(3), source=True),
        *_several("digits mlp", range(2)),
    ]


def from_scratch(architecture: str, *, epochs: int | None = None) -> Settings:
    """Returns how an architecture is trained when it starts from nothing.

    Args:
        architecture: A name in :data:`fingerprint.lab.architectures.ARCHITECTURES`.
        epochs: Another number of passes than the usual one.
    """
    if architecture.startswith("digits"):
        return Settings(epochs=epochs or _DIGITS_EPOCHS, lr=3e-3)
    lr = 1.5e-3 if architecture in {"vit", "mixer", "convnext"} else 4e-3
    usual = _CIFAR_EPOCHS.get(architecture, 8)
    return Settings(epochs=epochs or usual, lr=lr, shift=3, flip=True)


def stored(folder: Path, name: str, architecture: str, *, classes: int = 10) -> nn.Module:
    """Loads a published network.

    Args:
        folder: Has ``zoo/NAME.safetensors``, weights for normalised images.
        name: Of the file.
        architecture: A name in :data:`fingerprint.lab.architectures.ARCHITECTURES`.
        classes: Number of answers.
    """
    network = build(architecture, classes=classes)
    body(network).load_state_dict(load_file(folder / "zoo" / f"{name}.safetensors"))
    return network


def _published(folder: Path, name: str, architecture: str, *, source: bool = False) -> Recipe:
    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        del data, needed
        return stored(folder, name, architecture)

    return base_recipe(name, architecture, make, source=source)


def _trained(architecture: str, number: int, *, source: bool) -> Recipe:
    name = f"{architecture} {number}"

    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        del needed
        factory = ARCHITECTURES[architecture]
        return trained(factory, data, from_scratch(architecture), seed=seeded(name))

    return base_recipe(name, architecture, make, source=source)


def _several(architecture: str, numbers: Iterable[int], *, source: bool = False) -> list[Recipe]:
    return [_trained(architecture, number, source=source and number == 0) for number in numbers]
