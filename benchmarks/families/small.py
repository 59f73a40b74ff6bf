"""Families at 32 pixels, and of digits at 16: a parent of each architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from benchmarks.detection.bases import from_scratch, stored
from benchmarks.detection.recipe import seeded
from benchmarks.detection.split import half_of
from benchmarks.families.members import Family, Network, Suspect
from fingerprint.lab.architectures import ARCHITECTURES
from fingerprint.lab.data import TASKS, Data
from fingerprint.lab.modifications import averaged, fine_tuned, pruned, quantised
from fingerprint.lab.training import Settings, trained

__all__ = ["families"]

_CIFAR = {
    "plain cnn": "wide cnn",
    "vit": "mixer",
    "separable cnn": "plain cnn",
    "wide cnn": "plain cnn",
    "mixer": "vit",
    "resnet8": "wide cnn",
}
_DIGITS = {"digits cnn": "digits mlp", "digits vit": "digits cnn"}
"""The parents' architectures, and that of a stranger of another kind."""
_PUBLISHED = {"resnet20": "resnet20", "resnet20_independent": "resnet20", "resnet44": "resnet44"}
"""A parent and two strangers, with their architectures."""


def families(data: Data, folder: Path | None = None) -> list[Family]:
    """Returns the families, that of the published ResNet-20 first if it is there.

    Args:
        data: What everybody learns from; the digits make smaller families.
        folder: Has the published networks in ``zoo/``; CIFAR-10 only.
    """
    kinds = _DIGITS if data.name == "digits" else _CIFAR
    made = [
        family
        for kind, other in kinds.items()
        for family in _family(
            data, kind, _base(data, kind, 0), _base(data, kind, 1), _base(data, other, 1)
        )
    ]
    if folder is None or data.name == "digits":
        return made
    published = [_published(data, folder, name, kind) for name, kind in _PUBLISHED.items()]
    return [*_family(data, "resnet20", *published, public=True), *made]


def _family(
    data: Data,
    architecture: str,
    parent: Network,
    peer: Network,
    other: Network,
    *,
    public: bool = False,
) -> tuple[Family, Family]:
    """Returns a parent's family twice: A is registered, then B.

    What the two learned from has no image in common; what learned on from A learned from B's.
    """
    first, second = (
        replace(data, train_images=data.train_images[k::2], train_labels=data.train_labels[k::2])
        for k in (0, 1)
    )
    five = TASKS["five classes"].of(second)
    whole = _all_layers(architecture)
    head = Settings(epochs=2, lr=1e-2, optimizer="sgd", scheduled=False, head_only=True)
    child = _tuned(parent, "A", first, whole)
    sibling = _tuned(parent, "B", second, whole)
    last = _tuned(parent, "last layer", second, head)
    task = _tuned(parent, "five classes", five, whole)
    int8, without = child.changed("int8", quantised), child.changed("pruned", pruned)
    again, headed = (
        _tuned(child, "again", second, whole),
        _tuned(child, "five classes", five, whole),
    )
    both, mixed = child.changed("merged", _mean, sibling), sibling.changed("merged", _mean, last)
    outside = (
        Suspect("sibling, last layer", "relative", last),
        Suspect("sibling, other task", "relative", task),
        Suspect("parent", "relative", parent),
        Suspect("parent, int8", "relative", parent.changed("int8", quantised)),
        Suspect("stranger, alike", "stranger", peer),
        Suspect("stranger, alike, fine-tuned", "stranger", _tuned(peer, "A", first, whole)),
        Suspect("stranger, other kind", "stranger", other),
    )
    of_child = (
        Suspect("A", "itself", child),
        Suspect("A, int8", "copy", int8),
        Suspect("A, 30 % pruned", "copy", without),
        Suspect("A fine-tuned once more", "further", again),
        Suspect("A with a new head", "further", headed),
        Suspect("A merged with B", "further", both),
        Suspect("sibling B", "relative", sibling),
        Suspect("sibling B, int8", "relative", sibling.changed("int8", quantised)),
        Suspect("siblings merged", "relative", mixed),
        *outside,
    )
    of_sibling = (
        Suspect("B", "itself", sibling),
        Suspect("B, int8", "copy", sibling.changed("int8", quantised)),
        Suspect("B, 30 % pruned", "copy", sibling.changed("pruned", pruned)),
        Suspect("A merged with B", "further", both),
        Suspect("B merged with a sibling", "further", mixed),
        Suspect("sibling A", "relative", child),
        Suspect("sibling A, int8", "relative", int8),
        Suspect("sibling A, 30 % pruned", "relative", without),
        Suspect("sibling A, fine-tuned on B's images", "relative", again),
        Suspect("sibling A with a new head", "relative", headed),
        *outside,
    )
    one = Family(
        name=parent.name,
        parent=parent,
        public=public,
        half=half_of(architecture),
        child=child,
        suspects=of_child,
    )
    return one, replace(
        one, name=f"{parent.name}, B", child=sibling, suspects=of_sibling, called="B"
    )


def _all_layers(architecture: str) -> Settings:
    transformer = architecture in {"vit", "digits vit", "mixer"}
    return replace(
        from_scratch(architecture),
        epochs=2,
        lr=5e-4 if transformer else 5e-3,
        optimizer="adamw" if transformer else "sgd",
        scheduled=False,
    )


def _mean(first: nn.Module, second: nn.Module) -> nn.Module:
    return averaged((first, second), (0.5, 0.5))


def _tuned(network: Network, suffix: str, data: Data, settings: Settings) -> Network:
    """Returns a copy that learned on, with a new head if the data has other classes."""

    def learned(module: nn.Module) -> nn.Module:
        return fine_tuned(module, data, settings, seed=seeded(f"{network.name}, {suffix}"))

    return network.changed(suffix, learned)


def _network(data: Data, architecture: str, name: str, make: Callable[[], nn.Module]) -> Network:
    arch = f"fingerprint.lab.architectures:build,architecture={architecture!r}"
    return Network(name=name, arch=arch, input_size=data.input_size, make=make)


def _base(data: Data, architecture: str, number: int) -> Network:
    """Returns a network that is trained from scratch."""
    name = f"{architecture} {number}"

    def learned() -> nn.Module:
        factory = ARCHITECTURES[architecture]
        return trained(factory, data, from_scratch(architecture), seed=seeded(name))

    return _network(data, architecture, name, learned)


def _published(data: Data, folder: Path, name: str, architecture: str) -> Network:
    return _network(data, architecture, name, partial(stored, folder, name, architecture))
