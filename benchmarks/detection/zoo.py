"""Builds the zoo of real networks, one file after the other, and reads it.

    python -m benchmarks.detection.zoo --work WORK [--data DIR] [--budget MINUTES]

What is there already is left alone, so building goes on where it stopped, whatever stopped
it. A recipe that changed is not noticed: remove the files it wrote. Several processes share
the work with ``--part 1/2`` and ``--part 2/2``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.data import load_data, write_weights
from benchmarks.detection import export
from benchmarks.detection.plan import plan
from benchmarks.detection.recipe import Recipe
from fingerprint.files import write_whole
from fingerprint.lab.architectures import build as untrained
from fingerprint.lab.data import TASKS, Data, Task
from fingerprint.lab.training import accuracy
from fingerprint.progress import Progress, silent

__all__ = ["SMALL", "Member", "Scale", "build", "lines", "members", "plan", "stem"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """What the networks of one size have in common.

    Attributes:
        tasks: What they answer, by name.
        untrained: Builds an architecture of a number of classes, normalisation folded or not.
        accuracy: Of a network, on the test images of its task.
    """

    tasks: Mapping[str, Task]
    untrained: Callable[..., nn.Module]
    accuracy: Callable[[nn.Module, Data], float]


SMALL = Scale(tasks=TASKS, untrained=untrained, accuracy=accuracy)
"""Networks of the lab, for its digits and for CIFAR-10."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """A network of the zoo, in a file.

    Attributes:
        name: ``resnet20`` or ``resnet20/pruned 40 %``.
        base: The base network it descends from; itself for a base network.
        kin: Every base network it descends from; a merged one has two.
        modification: Row of the tables; ``none`` for a base network.
        group: ``base``, ``shares weights``, ``student`` or ``adversarial training``.
        architecture: A name in :data:`fingerprint.lab.architectures.ARCHITECTURES`.
        source: Whether derived copies of it belong to the zoo.
        accuracy: On the test images of its own task.
        task: A name in :data:`fingerprint.lab.data.TASKS`.
        folded: Whether its batch normalisation is folded away.
        seconds: What making it took.
        file: Its weights, or its ONNX graph.
        teacher: The base network whose answers it learned, where it descends from another one.
        scale: What it has in common with others of its size.
    """

    name: str
    base: str
    kin: tuple[str, ...]
    modification: str
    group: str
    architecture: str
    source: bool
    accuracy: float
    task: str
    folded: bool
    seconds: float
    file: Path
    teacher: str = ""
    scale: Scale = SMALL

    @property
    def classes(self) -> int:
        """Number of its answers."""
        return self.scale.tasks[self.task].classes

    def network(self) -> nn.Module:
        """Loads it: pixels in [0, 1] to logits, in evaluation mode.

        A network stored as ONNX is run by onnxruntime and passes no gradients.

        Raises:
            ImportError: It is stored as ONNX and onnxruntime is not installed.
        """
        if self.file.suffix == ".onnx":
            return export.OnnxNetwork(self.file)
        network = self.scale.untrained(self.architecture, classes=self.classes, folded=self.folded)
        network.load_state_dict(load_file(self.file))
        return network


def stem(name: str) -> str:
    """Returns a network's name as a file's name."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)


def members(directory: Path, scale: Scale = SMALL) -> tuple[Member, ...]:
    """Returns what has been built, base networks first, each set in order of name."""
    found = []
    for path in sorted(directory.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        document["kin"] = tuple(document["kin"])
        document["file"] = directory / document["file"]
        found.append(Member(**document, scale=scale))
    return tuple(sorted(found, key=lambda member: (member.group != "base", member.name)))


def build(
    data: Data,
    directory: Path,
    *,
    folder: Path | None = None,
    minutes: float = float("inf"),
    recipes: Sequence[Recipe] | None = None,
    planned: Sequence[Recipe] | None = None,
    scale: Scale = SMALL,
    progress: Progress = silent,
) -> tuple[Member, ...]:
    """Makes what is missing, in the plan's order, until the time is over.

    Each network is complete on disk before the next is begun; stopping at any moment loses
    only the one in the making.

    Args:
        data: The images to train on.
        directory: Where the files are; created.
        folder: Has the published networks in ``zoo/``; CIFAR-10 only.
        minutes: No network is begun later than this.
        recipes: A part of the plan; all of it by default. What they need is made too.
        planned: The plan; that of the scale of 32 pixels and less by default.
        scale: What the networks have in common.
        progress: Called with a network's name before it is made, and at the end.

    Returns:
        Everything in the directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    full = plan(data, folder) if planned is None else planned
    todo = full if recipes is None else recipes
    by_name = {recipe.name: recipe for recipe in (*full, *todo)}
    workshop = _Workshop(data, directory, by_name, scale)
    end = time.monotonic() + 60 * minutes
    for done, recipe in enumerate(todo):
        if time.monotonic() >= end:
            break
        if recipe.exported and not export.available():
            progress(f"{recipe.name} left out: pip install 'nullprint[bench]'", done, len(todo))
            continue
        progress(recipe.name, done, len(todo))
        workshop.ensure(recipe.name)
    else:
        progress("done", len(todo), len(todo))
    return members(directory, scale)


class _Workshop:
    """Makes members that are missing, and what they are made from."""

    def __init__(
        self, data: Data, directory: Path, recipes: Mapping[str, Recipe], scale: Scale
    ) -> None:
        self._data = data
        self._scale = scale
        self._directory = directory
        self._recipes = recipes

    def ensure(self, name: str) -> nn.Module | None:
        """Makes a member unless it is there; returns it if it was made and not rounded just now."""
        if _card(self._directory, name).exists():
            return None
        recipe = self._recipes[name]
        needed = tuple(self._network(need) for need in recipe.needs)
        began = time.monotonic()
        data = self._scale.tasks[recipe.task].of(self._data)
        network = recipe.make(data, needed)
        self._write(recipe, network, data, time.monotonic() - began)
        return None if recipe.half else network

    def _network(self, name: str) -> nn.Module:
        made = self.ensure(name)
        if made is not None:
            return made
        card = json.loads(_card(self._directory, name).read_text(encoding="utf-8"))
        card["file"] = self._directory / card["file"]
        return Member(**card, scale=self._scale).network()

    def _write(self, recipe: Recipe, network: nn.Module, data: Data, seconds: float) -> None:
        """Writes the weights and, once they are complete, the card that makes them a member."""
        card = _card(self._directory, recipe.name)
        file = card.with_suffix(".onnx" if recipe.exported else ".safetensors")
        if (export_to := recipe.exported) is not None:
            write_whole(file, lambda stream: export_to(network, Path(stream.name), data.input_size))
        else:
            write_weights(network, file, half=recipe.half)
        facts: dict[str, Any] = {
            field.name: getattr(recipe, field.name)
            for field in dataclasses.fields(Member)
            if hasattr(recipe, field.name)
        }
        facts |= {"accuracy": 0.0, "seconds": round(seconds, 1), "file": file}
        written = Member(**facts, scale=self._scale)
        facts |= {"accuracy": self._scale.accuracy(written.network(), data), "file": file.name}
        text = json.dumps(facts, indent=2) + "\n"
        write_whole(card, lambda stream: stream.write(text.encode()))


def _card(directory: Path, name: str) -> Path:
    return directory / f"{stem(name)}.json"


def lines() -> Progress:
    """Returns what prints progress as lines with the time that has passed."""
    began = time.monotonic()

    def line(stage: str, done: int, total: int) -> None:
        print(f"[{done:3d}/{total}] {time.monotonic() - began:6.0f} s  {stage}", flush=True)

    return line


def _part(recipes: Sequence[Recipe], part: str) -> list[Recipe]:
    """Returns the k-th of n shares, such that a source and its copies share a share."""
    k, n = (int(number) for number in part.split("/"))
    bases = [recipe.name for recipe in recipes if recipe.name == recipe.base]
    return [recipe for recipe in recipes if bases.index(recipe.base) % n == k - 1]


def main() -> None:
    """Builds the zoo and prints what it has."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz and zoo/; else digits")
    parser.add_argument("--work", type=Path, required=True, help="where the zoo is kept")
    parser.add_argument("--budget", type=float, default=float("inf"), help="minutes")
    parser.add_argument("--only", default="", help="only names that contain this")
    parser.add_argument("--part", default="1/1", help="share of the work, such as 1/2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(options.data)
    recipes = [r for r in _part(plan(data, options.data), options.part) if options.only in r.name]
    built = build(
        data,
        options.work,
        folder=options.data,
        minutes=options.budget,
        recipes=recipes,
        progress=lines(),
    )
    for member in built:
        print(f"{member.accuracy:.3f}  {member.seconds:6.1f} s  {member.name}")


if __name__ == "__main__":
    main()
