"""How each network of the paper's experiments is built and trained; ``networks`` does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm
from timm.models.resnet import Bottleneck, ResNet, downsample_conv
from torch import nn

from fingerprint.lab import networks
from fingerprint.lab.architectures import ColourVit
from fingerprint.lab.data import CLASSES
from fingerprint.lab.training import Settings

__all__ = ["NETWORKS", "Recipe"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """How a network is made.

    Attributes:
        build: Builds it untrained, for images of a number of channels.
        settings: By the data's name: how it is trained.
        seed: Decides the initial weights and the order of the images.
    """

    build: Callable[[int], nn.Module]
    settings: dict[str, Settings]
    seed: int


def _resnet50(channels: int, *, strided: bool) -> ResNet:
    """Builds a narrow ResNet-50 for small images."""
    colour = channels == 3
    widths = (32, 64, 128, 256) if colour else (8, 16, 32, 64)
    filters = (32 if colour else 8) if strided else (32 if colour else 16)
    network = timm.create_model("resnet50", num_classes=CLASSES, in_chans=channels, channels=widths)
    assert isinstance(network, ResNet)
    stride = 4 if strided else 2
    first = nn.Conv2d(channels, filters, 7, stride=stride, padding=3, bias=False)
    network.set_submodule("conv1", first)
    # timm's first convolution has 64 filters whatever the stages are; what reads it changes too.
    network.set_submodule("bn1", nn.BatchNorm2d(filters))
    shortcut = downsample_conv(filters, Bottleneck.expansion * widths[0], 1)
    network.set_submodule("layer1.0", Bottleneck(filters, widths[0], downsample=shortcut))
    if strided:
        network.set_submodule("maxpool", nn.Identity())
    network.init_weights()
    return network


def _strided(channels: int) -> nn.Module:
    return _resnet50(channels, strided=True)


def _dense(channels: int) -> nn.Module:
    return _resnet50(channels, strided=False)


def _patch_vit(channels: int) -> nn.Module:
    return ColourVit() if channels == 3 else networks.vit()


_RESNET = {
    "cifar10": Settings(epochs=24, lr=2e-3, shift=4, flip=True),
    "digits": Settings(epochs=12, lr=3e-3),
}
_VIT = {
    "cifar10": Settings(epochs=40, lr=1e-3, shift=4, flip=True),
    "digits": Settings(epochs=24, lr=3e-3),
}

NETWORKS: dict[str, Recipe] = {
    # ResNet-50's blocks, narrowed, behind a 7×7 convolution of stride 4.
    "resnet50-strided": Recipe(build=_strided, settings=_RESNET, seed=0),
    "resnet50-strided-1": Recipe(build=_strided, settings=_RESNET, seed=1),
    # The same blocks behind their own beginning of stride 2.
    "resnet50-dense": Recipe(build=_dense, settings=_RESNET, seed=0),
    # A small transformer whose patch embedding has fewer outputs than inputs.
    "patch-vit": Recipe(build=_patch_vit, settings=_VIT, seed=0),
    "patch-vit-1": Recipe(build=_patch_vit, settings=_VIT, seed=1),
}
"""Every network the experiments can ask for."""
