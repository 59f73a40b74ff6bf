"""Networks for 224 pixels: how they are built, what they answer, how they learn on."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import efficientnet_lite
from benchmarks.detection.zoo import Scale
from fingerprint.lab import training
from fingerprint.lab.data import TASKS, Data, Task
from fingerprint.lab.training import Distortion, Settings, pixels

__all__ = ["IMAGENET", "TESTED", "learned", "photographs", "published", "scale", "untrained"]

IMAGENET = "imagenet"
"""The task of the published networks: a thousand classes."""
TESTED = 500
"""Test images that an accuracy is measured on, at most."""

_BATCH = 50


def untrained(architecture: str, *, classes: int = 1000, folded: bool = False) -> nn.Module:
    """Builds a network that takes pixels in [0, 1], in evaluation mode.

    Args:
        architecture: ``lite0``, ``lite1`` or ``lite2``; any other is one of timm's.
        classes: Number of its answers.
        folded: Not offered at this size.
    """
    del folded
    if architecture.startswith("lite"):
        network: nn.Module = getattr(efficientnet_lite, architecture)(classes)
    else:
        import timm

        network = timm.create_model(architecture, num_classes=classes)
    return efficientnet_lite.Normalised(network).eval()


def published(version: int) -> nn.Module:
    """Loads an EfficientNet-Lite with its ImageNet weights."""
    network = untrained(f"lite{version}")
    state = torch.load(efficientnet_lite.weights(version), weights_only=True)
    network.get_submodule("network").load_state_dict(state)
    return network


def photographs(folder: Path) -> Data:
    """Loads the photographs ``imagenet_sample/CLASS_NAME.png``, of 224 pixels, as test images."""
    from PIL import Image

    files = sorted((folder / "imagenet_sample").glob("*.png"))
    images = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    labels = np.array([int(file.stem.partition("_")[0]) for file in files], np.int64)
    return Data(
        name="photographs",
        train_images=images[:0],
        train_labels=labels[:0],
        test_images=images,
        test_labels=labels,
    )


def scale(folder: Path, device: str = "cpu") -> Scale:
    """Returns what the networks of this size have in common.

    Args:
        folder: Has the photographs.
        device: Where accuracies are measured.
    """
    return Scale(
        tasks={**TASKS, IMAGENET: Task(1000, lambda _: photographs(folder))},
        untrained=untrained,
        accuracy=partial(_accuracy, device=device),
    )


@torch.inference_mode()
def _accuracy(network: nn.Module, data: Data, *, device: str) -> float:
    images = pixels(data.test_images[:TESTED])
    network = network.to(device)
    named = torch.cat(
        [
            network(_large(part.to(device))).argmax(dim=1).cpu()
            for part in torch.split(images, _BATCH)
        ]
    )
    return float((named == torch.from_numpy(data.test_labels[:TESTED])).float().mean())


def _large(images: Tensor) -> Tensor:
    size = efficientnet_lite.CFG["input_size"]
    return images if images.shape[1:] == size else efficientnet_lite.enlarged(images)


def _enlarging(then: Distortion | None) -> Distortion:
    """Enlarges each batch where it lies, before it is distorted otherwise."""

    def distort(
        network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        large = _large(images)
        return large if then is None else then(network, large, labels, generator)

    return distort


def learned(
    network: nn.Module,
    data: Data,
    settings: Settings,
    *,
    seed: int,
    device: str,
    loss: training.Loss | None = None,
    distort: Distortion | None = None,
    keep_zeros: bool = False,
) -> nn.Module:
    """Returns a copy that learned on from enlarged images.

    Args:
        network: Left alone.
        data: Small images.
        settings: How.
        seed: Decides the order of the batches and every other draw.
        device: Where.
        loss: Of a network, images and labels, all on the device; the labels' by default.
        distort: Changes each enlarged batch.
        keep_zeros: Whether weights that are zero stay zero.
    """
    pupil = copy.deepcopy(network).to(device)
    further: dict[str, Any] = {} if loss is None else {"loss": loss}
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # these networks drop units and whole blocks
        training.train(
            pupil,
            data,
            settings,
            seed=seed,
            distort=_enlarging(distort),
            keep_zeros=keep_zeros,
            **further,
        )
    return pupil.cpu()
