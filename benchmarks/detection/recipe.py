"""What it takes to make one member of the zoo."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from fingerprint.lab.data import Data

__all__ = ["ADVERSARIAL", "BASE", "SHARES_WEIGHTS", "STUDENT", "Make", "Recipe", "seeded"]

BASE = "base"
SHARES_WEIGHTS = "shares weights"
STUDENT = "student"
ADVERSARIAL = "adversarial training"

Make = Callable[[Data, tuple[nn.Module, ...]], nn.Module]
"""Makes a network from the images of its task and the networks it needs, left alone."""


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
        exported: Whether it is stored as ONNX.
        needs: Names of the members it is made from.
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
