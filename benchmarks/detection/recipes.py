"""How each member of the zoo is made, in order of importance."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.detection import networks, training
from benchmarks.detection.data import Data

__all__ = ["BASE", "Recipe", "plan", "seeded"]

BASE = "base"
"""Group of the networks that descend from no other."""

Make = Callable[[Data, tuple[nn.Module, ...]], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One network of the zoo and how to make it.

    Attributes:
        name: Unique; ``SOURCE/MODIFICATION`` for what descends from another network.
        base: The base network it descends from; itself for a base network.
        kin: Every base network it descends from.
        modification: Row of the tables.
        group: ``base``, ``shares weights``, ``student`` or ``adversarial training``.
        architecture: A name in :data:`benchmarks.detection.networks.ARCHITECTURES`.
        source: Whether derived copies of it belong to the zoo.
        task: A name in :data:`benchmarks.detection.data.TASKS`.
        folded: Whether its batch normalisation is folded away.
        exported: Whether it is stored as ONNX.
        needs: Names of the members it is made from.
        make: Makes it from the images and the networks it needs, which it leaves alone.
    """

    name: str
    base: str
    kin: tuple[str, ...]
    modification: str
    group: str
    architecture: str
    make: Make
    source: bool = False
    task: str = "classes"
    folded: bool = False
    exported: bool = False
    needs: tuple[str, ...] = ()


def seeded(name: str) -> int:
    """Returns the seed that belongs to a name."""
    return zlib.crc32(name.encode())


def _base(name: str, architecture: str, make: Make, *, source: bool = False) -> Recipe:
    return Recipe(
        name=name,
        base=name,
        kin=(name,),
        modification="none",
        group=BASE,
        architecture=architecture,
        make=make,
        source=source,
    )


def _given(folder: Path, name: str, architecture: str, *, source: bool = False) -> Recipe:
    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        del data, needed
        return _stored(folder, name, architecture)

    return _base(name, architecture, make, source=source)


def _stored(folder: Path, name: str, architecture: str, classes: int = 10) -> nn.Module:
    network = networks.build(architecture, classes=classes)
    networks.body(network).load_state_dict(load_file(folder / "zoo" / f"{name}.safetensors"))
    return network


def _trained(
    architecture: str, seed: int, settings: training.Settings, *, source: bool = False
) -> Recipe:
    name = f"{architecture} {seed}"

    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        del needed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeded(name))
            network = networks.build(architecture)
        return training.train(network, data, settings, seed=seeded(name))

    return _base(name, architecture, make, source=source)


_CIFAR_EPOCHS = {
    "plain cnn": 12,
    "vit": 25,
    "resnet8": 10,
    "wide cnn": 14,
    "separable cnn": 12,
    "mixer": 12,
    "mlp": 25,
}
_DIGITS_EPOCHS = 12


def _settings(architecture: str, *, epochs: int | None = None) -> training.Settings:
    """Returns how an architecture is trained from scratch."""
    if architecture.startswith("digits"):
        return training.Settings(epochs=epochs or _DIGITS_EPOCHS, lr=3e-3)
    lr = 1.5e-3 if architecture in {"vit", "mixer"} else 4e-3
    default = _CIFAR_EPOCHS.get(architecture, 10)
    return training.Settings(epochs=epochs or default, lr=lr, shift=3, flip=True)


def _several(architecture: str, seeds: Iterable[int], *, source: bool = False) -> list[Recipe]:
    return [
        _trained(architecture, seed, _settings(architecture), source=source and seed == 0)
        for seed in seeds
    ]


def _cifar_bases(folder: Path) -> list[Recipe]:
    return [
        _given(folder, "resnet20", "resnet20", source=True),
        _given(folder, "resnet20_independent", "resnet20"),
        _given(folder, "resnet44", "resnet44"),
        *_several("plain cnn", [0], source=True),
        *_several("vit", [0], source=True),
        *_several("plain cnn", [1]),
        *_several("vit", [1]),
        *_several("mlp", [0]),
        *_several("wide cnn", [0]),
        *_several("resnet8", [0]),
        *_several("plain cnn", [2]),
        *_several("vit", [2]),
        *_several("separable cnn", [0]),
        *_several("mixer", [0]),
        *_several("wide cnn", [1]),
        *_several("plain cnn", [3]),
        *_several("vit", [3]),
        *_several("plain cnn", [4]),
        *_several("resnet8", [1]),
    ]


def _digits_bases() -> list[Recipe]:
    return [
        *_several("digits cnn", range(3), source=True),
        *_several("digits vit", range(3), source=True),
        *_several("digits slim cnn", range(3), source=True),
        *_several("digits mlp", range(2)),
    ]


def plan(data: Data, folder: Path | None) -> tuple[Recipe, ...]:
    """Returns the recipes of the zoo, the most important first.

    Args:
        data: The images; digits make the small zoo.
        folder: Has ``zoo/*.safetensors``, the published networks; CIFAR-10 only.
    """
    if data.name == "digits" or folder is None:
        return tuple(_digits_bases())
    return tuple(_cifar_bases(folder))
