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
from benchmarks.families.children import Line, another, children
from benchmarks.families.members import Family, Network, Suspect
from fingerprint.lab.architectures import ARCHITECTURES
from fingerprint.lab.data import TASKS, Data
from fingerprint.lab.modifications import fine_tuned
from fingerprint.lab.training import Settings, trained

__all__ = ["families", "tuned"]

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
) -> tuple[Family, ...]:
    """Returns a parent's family: A is registered, then B, then others that learned otherwise.

    What A and B learned from has no image in common; what learned on from A learned from B's.
    """
    first, second = (
        replace(data, train_images=data.train_images[k::2], train_labels=data.train_labels[k::2])
        for k in (0, 1)
    )
    five = TASKS["five classes"].of(second)
    whole = _all_layers(architecture)
    head = Settings(epochs=2, lr=1e-2, optimizer="sgd", scheduled=False, head_only=True)
    child = tuned(parent, "A", first, whole)
    strangers = (
        Suspect("stranger, alike", "stranger", peer),
        Suspect("stranger, alike, fine-tuned", "stranger", tuned(peer, "A", first, whole)),
        Suspect("stranger, other kind", "stranger", other),
    )
    one, two = children(
        Line(
            name=parent.name,
            public=public,
            half=half_of(architecture),
            parent=parent,
            child=child,
            sibling=tuned(parent, "B", second, whole),
            last=tuned(parent, "last layer", second, head),
            task=tuned(parent, "five classes", five, whole),
            again=tuned(child, "again", second, whole),
            headed=tuned(child, "five classes", five, whole),
            strangers=strangers,
        )
    )
    little = replace(whole, epochs=1, lr=whole.lr / 5)
    fives = TASKS["five classes"].of(first), five
    return (
        one,
        two,
        _gentle(one, little, (first, second)),
        _headed(one, "new head", whole, fives),
        _headed(one, "gentle new head", little, fives),
    )


def _gentle(family: Family, little: Settings, halves: tuple[Data, Data]) -> Family:
    """Returns the family of a child that learned little, with a sibling that learned as little."""
    child, sibling = (
        tuned(family.parent, f"gentle {name}", half, little)
        for name, half in zip("AB", halves, strict=True)
    )
    return another(
        family,
        "gentle",
        child,
        Suspect("sibling, as gentle", "relative", sibling),
        Suspect("sibling A", "relative", family.child),
    )


def _headed(family: Family, called: str, settings: Settings, halves: tuple[Data, Data]) -> Family:
    """Returns the family of a child with a new head.

    One sibling began with the same head, as whoever runs the same script does.
    """
    parent, (own, others) = family.parent, halves
    child, twin = (
        tuned(parent, f"{called} {name}", half, settings, seed=f"{parent.name}, {called}")
        for name, half in (("A", own), ("twin", others))
    )
    return another(
        family,
        called,
        child,
        Suspect("sibling, same head", "relative", twin),
        Suspect("sibling, as much", "relative", tuned(parent, f"{called} B", others, settings)),
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


def tuned(
    network: Network, suffix: str, data: Data, settings: Settings, *, seed: str | None = None
) -> Network:
    """Returns a copy that learned on, with a new head if the data has other classes.

    Who shares a seed begins with the same head.
    """

    def learned(module: nn.Module) -> nn.Module:
        return fine_tuned(module, data, settings, seed=seeded(seed or f"{network.name}, {suffix}"))

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
