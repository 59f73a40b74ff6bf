"""Suspects that nobody registered: fresh copies of registered networks, and strangers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from benchmarks.data import write_weights
from benchmarks.detection.bases import from_scratch
from benchmarks.detection.recipe import seeded
from benchmarks.detection.zoo import Member, stem
from fingerprint.lab.architectures import ARCHITECTURES, build
from fingerprint.lab.data import CLASSES, TASKS, Data
from fingerprint.lab.modifications import fine_tuned, pruned, quantised
from fingerprint.lab.training import Settings, trained

__all__ = ["Suspected", "suspects"]

_TUNING = Settings(epochs=1, lr=1e-2, optimizer="sgd", scheduled=False)
_TASK, _NEW_TASK = "rotation", "new head and task, all layers"


@dataclass(frozen=True, kw_only=True)
class Suspected:
    """A network to be asked about.

    Attributes:
        name: ``resnet20, fine-tuned``.
        change: What was done; ``stranger`` where it was made of nobody registered.
        source: Of which registered network it was made; empty for a stranger.
        root: Whose weights it started from, registered or not; itself where nobody's.
        architecture: A name in :data:`fingerprint.lab.architectures.ARCHITECTURES`.
        classes: Number of its answers.
        file: Its weights.
    """

    name: str
    change: str
    source: str
    root: str
    architecture: str
    classes: int
    file: Path

    def network(self) -> nn.Module:
        """Loads it."""
        network = build(self.architecture, classes=self.classes)
        network.load_state_dict(load_file(self.file))
        return network


def suspects(data: Data, bases: Sequence[Member], folder: Path) -> list[Suspected]:
    """Makes the suspects that are not there yet.

    Args:
        data: The images to train on.
        bases: Registered networks that copies are made of.
        folder: Where they are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = [one for base in bases for one in _copies(base, data, folder)]
    # One stranger of each architecture that the zoo trains itself.
    architectures = {base.architecture for base in bases} - {"resnet20", "resnet44"}
    for architecture in sorted(architectures):
        found += _strangers(architecture, data, folder)
    return found


def _copies(base: Member, data: Data, folder: Path) -> Iterator[Suspected]:
    """Yields what the zoo does not have of a base network."""
    seed = seeded(f"many {base.name}")
    own, turned = (TASKS[task].of(data) for task in (base.task, _TASK))
    changes: dict[str, Callable[[nn.Module], nn.Module]] = {
        "int6 weights": partial(quantised, bits=6),
        "pruned 30 %": partial(pruned, share=0.3),
        "fine-tuned, all layers": partial(fine_tuned, data=own, settings=_TUNING, seed=seed),
        _NEW_TASK: partial(fine_tuned, data=turned, settings=_TUNING, seed=seed),
    }
    for change, make in changes.items():
        name = f"{base.name}, {change}"
        suspect = Suspected(
            name=name,
            change=change,
            source=base.name,
            root=base.name,
            architecture=base.architecture,
            classes=TASKS[_TASK].classes if change == _NEW_TASK else base.classes,
            file=folder / f"{stem(name)}.safetensors",
        )
        _ensure(suspect, partial(_changed, base, make))
        yield suspect


def _strangers(architecture: str, data: Data, folder: Path) -> Iterator[Suspected]:
    """Yields a network trained as the zoo's were, with another seed, and its own fine-tune."""
    seed = seeded(f"many {architecture}")
    turned, settings = TASKS[_TASK], from_scratch(architecture)

    def suspect(name: str, classes: int) -> Suspected:
        return Suspected(
            name=name,
            change="stranger",
            source="",
            root=f"{architecture}, stranger",
            architecture=architecture,
            classes=classes,
            file=folder / f"{stem(name)}.safetensors",
        )

    fresh = suspect(f"{architecture}, stranger", CLASSES)
    _ensure(fresh, partial(trained, ARCHITECTURES[architecture], data, settings, seed=seed))
    yield fresh
    moved = suspect(f"{architecture}, stranger, {_NEW_TASK}", turned.classes)
    tune = partial(fine_tuned, data=turned.of(data), settings=_TUNING, seed=seed)
    _ensure(moved, partial(_changed, fresh, tune))
    yield moved


def _changed(source: Member | Suspected, make: Callable[[nn.Module], nn.Module]) -> nn.Module:
    return make(source.network())


def _ensure(suspect: Suspected, make: Callable[[], nn.Module]) -> None:
    """Makes a suspect's file if it is not there."""
    if not suspect.file.exists():
        print(f"making {suspect.name}", flush=True)
        write_weights(make(), suspect.file)
