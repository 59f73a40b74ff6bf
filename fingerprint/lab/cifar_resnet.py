"""The CIFAR-10 ResNets of He et al. (2016): 6n+2 layers, parameter-free shortcuts.

    fp register resnet20.safetensors --arch fingerprint.lab.cifar_resnet:resnet20

A shortcut that changes resolution takes every second pixel and pads the new channels with
zeros (option A of the paper), so it has no weights.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CifarResNet", "resnet20", "resnet44"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a parameter-free shortcut."""

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride = stride
        self.extra = planes - in_planes

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, in_planes, H, W)`` to ``(N, planes, H/stride, W/stride)``."""
        shortcut = x
        if self.extra:
            before = self.extra // 2
            shortcut = functional.pad(
                x[:, :, :: self.stride, :: self.stride],
                (0, 0, 0, 0, before, self.extra - before),
            )
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + shortcut)


class CifarResNet(nn.Module):
    """Three stages of ``blocks`` basic blocks with 16, 32 and 64 channels.

    ``pretrained_cfg`` says, as in timm, what the published weights expect.
    """

    pretrained_cfg: ClassVar[dict[str, object]] = {
        "input_size": (3, 32, 32),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }

    def __init__(self, blocks: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, 1)
        self.layer2 = self._stage(16, 32, blocks, 2)
        self.layer3 = self._stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, num_classes)

    @staticmethod
    def _stage(in_planes: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
        rest = (BasicBlock(planes, planes, 1) for _ in range(blocks - 1))
        return nn.Sequential(BasicBlock(in_planes, planes, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images ``(N, 3, 32, 32)`` to logits ``(N, num_classes)``."""
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: Tensor = self.linear(out.mean(dim=(2, 3)))
        return logits


def resnet20(num_classes: int = 10) -> CifarResNet:
    """ResNet-20 for 32x32 images."""
    return CifarResNet(3, num_classes)


def resnet44(num_classes: int = 10) -> CifarResNet:
    """ResNet-44 for 32x32 images."""
    return CifarResNet(7, num_classes)
