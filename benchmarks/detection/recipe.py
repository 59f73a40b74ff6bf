"""What it takes to make one member of the zoo."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from fingerprint.lab.data import Data

__all__ = [
    "ADVERSARIAL",
    "BASE",
    "SHARES_WEIGHTS",
    "STUDENT",
    "Export",
    "Make",
    "Recipe",
    "base_recipe",
    "in_turn",
    "seeded",
    "simple",
]

BASE = "base"
SHARES_WEIGHTS = "shares weights"
STUDENT = "student"
ADVERSARIAL = "adversarial training"

Line = TypeVar("Line")

Make = Callable[[Data, tuple[nn.Module, ...]], nn.Module]
"""Makes a network from the images of its task and the networks it needs, left alone."""
Export = Callable[[nn.Module, Path, tuple[int, ...]], None]
"""Writes a network for inputs of a shape as ONNX."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One network of the zoo and how to make it.

    Attributes:
        name: Unique; ``SOURCE/MODIFICATION`` for what descends from another network.
        base: The base network it descends from; itself for a base network.
        kin: Every base network it descends from.
        modification: Row of the tables; ``none`` for a base network.
        group: One of the four groups above.
        architecture: A name in :data:`fingerprint.lab.architectures.ARCHITECTURES`.
        make: Makes it.
        source: Whether derived copies of it belong to the zoo.
        task: A name in :data:`fingerprint.lab.data.TASKS`.
        folded: Whether its batch normalisation is folded away.
        exported: What writes it as ONNX, if it is stored so.
        half: Whether its weights are stored as float16.
        needs: Names of the members it is made from.
        teacher: The base network whose answers it learned, where it descends from another one.
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
    exported: Export | None = None
    half: bool = False
    needs: tuple[str, ...] = ()
    teacher: str = ""


def seeded(name: str) -> int:
    """Returns the seed that belongs to a name."""
    return zlib.crc32(name.encode())


def base_recipe(name: str, architecture: str, make: Make, **more: Any) -> Recipe:
    """Returns the recipe of a network that descends from no other."""
    plain = Recipe(
        name=name,
        base=name,
        kin=(name,),
        modification="none",
        group=BASE,
        architecture=architecture,
        make=make,
    )
    return replace(plain, **more)


def simple(change: Callable[[nn.Module], nn.Module]) -> Make:
    """Makes a network by changing the one it needs."""

    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        del data
        return change(needed[0])

    return make


def in_turn(stage: Callable[[Line], Iterator[Recipe]], lines: Sequence[Line]) -> list[Recipe]:
    """Returns a stage's recipes for several sources: the first of each, then the second."""
    turns = itertools.zip_longest(*map(stage, lines))
    return [recipe for turn in turns for recipe in turn if recipe is not None]
