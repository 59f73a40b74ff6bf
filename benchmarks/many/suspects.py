"""Suspects that nobody registered: fresh copies of registered networks, and strangers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors.torch import load_file, save
from torch import nn

from benchmarks.detection.bases import from_scratch
from benchmarks.detection.recipe import seeded
from benchmarks.detection.zoo import Member, stem
from fingerprint.files import write_whole
from fingerprint.lab.architectures import ARCHITECTURES, build
from fingerprint.lab.data import TASKS, Data
from fingerprint.lab.modifications import fine_tuned, pruned, quantised
from fingerprint.lab.training import Settings, trained

__all__ = ["Suspected", "suspects"]

_TUNING = Settings(epochs=1, lr=1e-2, optimizer="sgd", scheduled=False)
_TASK = "rotation"


@dataclass(frozen=True, kw_only=True)
class Suspected:
    """A network to be asked about.

    Attributes:
        name: ``resnet20, fine-tuned``.
        change: What was done; ``stranger`` where it was made of nobody registered.
        source: Of whom it was made; empty for a stranger.
        architecture: A name in :data:`fingerprint.lab.architectures.ARCHITECTURES`.
        classes: Number of its answers.
        file: Its weights.
    """

    name: str
    change: str
    source: str
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
    made = [one for base in bases for one in _copies(base, data)]
    architectures = {base.architecture for base in bases}
    for architecture in sorted(architectures - {"resnet20", "resnet44"}):
        made += _strangers(architecture, data)
    found = []
    for name, change, source, architecture, classes, make in made:
        file = folder / f"{stem(name)}.safetensors"
        if not file.exists():
            print(f"making {name}", flush=True)
            state = {key: value.contiguous() for key, value in make().state_dict().items()}
            write_whole(file, lambda stream, state=state: stream.write(save(state)))
        found.append(
            Suspected(
                name=name,
                change=change,
                source=source,
                architecture=architecture,
                classes=classes,
                file=file,
            )
        )
    return found


_Made = tuple[str, str, str, str, int, Callable[[], nn.Module]]


def _copies(base: Member, data: Data) -> Iterator[_Made]:
    """Yields what the zoo does not have of a base network."""
    seed = seeded(f"many {base.name}")
    turned, own = TASKS[_TASK], TASKS[base.task]

    def changed(change: str, classes: int, make: Callable[[nn.Module], nn.Module]) -> _Made:
        name = f"{base.name}, {change}"
        return name, change, base.name, base.architecture, classes, lambda: make(base.network())

    yield changed("int6 weights", own.classes, partial(quantised, bits=6))
    yield changed("pruned 30 %", own.classes, partial(pruned, share=0.3))
    tuned = partial(fine_tuned, data=own.of(data), settings=_TUNING, seed=seed)
    yield changed("fine-tuned, all layers", own.classes, tuned)
    headed = partial(fine_tuned, data=turned.of(data), settings=_TUNING, seed=seed)
    yield changed("new head and task, all layers", turned.classes, headed)


def _strangers(architecture: str, data: Data) -> Iterator[_Made]:
    """Yields a network trained as the zoo's were, with another seed, and its own fine-tune."""
    name = f"{architecture}, stranger"
    seed, turned = seeded(f"many {name}"), TASKS[_TASK]

    def fresh() -> nn.Module:
        return trained(ARCHITECTURES[architecture], data, from_scratch(architecture), seed=seed)

    def moved() -> nn.Module:
        return fine_tuned(fresh(), turned.of(data), _TUNING, seed=seed)

    yield name, "stranger", "", architecture, 10, fresh
    yield f"{name}, new task", "stranger", "", architecture, turned.classes, moved
