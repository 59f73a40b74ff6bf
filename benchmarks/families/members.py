"""What a family consists of, and the files in which its networks are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import nn

from benchmarks.data import write_weights
from benchmarks.detection.split import Half
from fingerprint import Model, load_model
from fingerprint.progress import Progress, silent

__all__ = ["Family", "Network", "Role", "Suspect"]

Role = Literal["itself", "copy", "other copy", "further", "relative", "stranger"]
"""What a suspect is to the child: ``copy`` has its function up to precision, as a usual tool makes
one, ``other copy`` as registration does not foresee, ``further`` learned on from it, ``relative``
is its parent or another descendant of that, ``stranger`` shares no weight with it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A network, and how to make it if it is not there.

    Attributes:
        name: Unique; its file is called so.
        arch: What builds it untrained, as ``load_model`` takes it.
        input_size: Shape of one input.
        make: Makes it from the networks that it needs, left alone.
        needs: Those.
    """

    name: str
    arch: str
    input_size: tuple[int, int, int]
    make: Callable[..., nn.Module]
    needs: tuple[Network, ...] = ()

    def model(self, folder: Path, progress: Progress = silent) -> Model:
        """Loads it from its file, which is written first where it is missing.

        A file is complete or not there, so making goes on where it stopped.

        Args:
            folder: Where the files are; created.
            progress: Called with the name of each network before it is made.
        """
        path = folder / f"{self.name}.safetensors"
        if not path.exists():
            needed = [other.model(folder, progress).module for other in self.needs]
            progress(f"making {self.name}", 0, 1)
            made = self.make(*needed)
            folder.mkdir(parents=True, exist_ok=True)
            write_weights(made, path)
        return load_model(path, arch=self.arch, input_size=self.input_size)

    def changed(self, suffix: str, change: Callable[..., nn.Module], *others: Network) -> Network:
        """Returns a network that is made from this one, and perhaps from others.

        Args:
            suffix: What is added to the name.
            change: Makes it, from this one's module and theirs.
            *others: Whatever else it takes.
        """
        name = f"{self.name}, {suffix}"
        return replace(self, name=name, make=change, needs=(self, *others))


@dataclass(frozen=True)
class Suspect:
    """A row of the table.

    Attributes:
        title: What it is, in the family's words.
        role: What it is to the child.
        network: The network.
    """

    title: str
    role: Role
    network: Network


@dataclass(frozen=True, kw_only=True)
class Family:
    """A parent, the child that is registered, and who is asked about it.

    Attributes:
        name: For the heading.
        parent: What the child was fine-tuned from.
        public: Whether the parent is a public checkpoint, which nobody is accused of being.
        half: Whether its figures are reported, or chose settings.
        child: What its owner registers.
        suspects: The rows.
        called: The child's name in the registry.
    """

    name: str
    parent: Network
    public: bool
    half: Half
    child: Network
    suspects: tuple[Suspect, ...]
    called: str = "A"
