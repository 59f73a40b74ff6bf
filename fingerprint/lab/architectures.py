"""Architectures by name, for digits and for CIFAR-10: small enough to train many on one core.

Every network takes pixels in [0, 1] and answers with logits. The networks for digits, with a
colour image's first layer, serve CIFAR-10 too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fingerprint.lab import networks
from fingerprint.lab.cifar_resnet import CifarResNet
from fingerprint.lab.data import CLASSES
from fingerprint.lab.modifications import folded as without_normalisation

__all__ = [
    "ARCHITECTURES",
    "ColourVit",
    "ConvNext",
    "Mixer",
    "Pixels",
    "PlainCnn",
    "body",
    "build",
    "separable_cnn",
    "wide_cnn",
]


class Pixels(nn.Module):
    """Normalises pixels of CIFAR-10, so that the network behind takes them as they are.

    Args:
        network: Takes normalised images ``(N, 3, 32, 32)``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name in ("mean", "std"):
            channels = torch.tensor(CifarResNet.pretrained_cfg[name]).view(1, -1, 1, 1)
            self.register_buffer(name, channels, persistent=False)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, 3, 32, 32)`` in [0, 1] with logits."""
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits


class PlainCnn(networks.Cnn):
    """The digits' six convolutions for colour images."""

    def __init__(self, width: int = 32) -> None:
        super().__init__(width)
        self.convolutions[0] = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)


class ColourVit(networks.Vit):
    """The digits' transformer for colour images: 8×8 patches, so 192 numbers become 64."""

    def __init__(self) -> None:
        super().__init__(32, patch=8, dim=64, depth=4, heads=4)
        self.patch_embed = nn.Conv2d(3, 64, 8, stride=8)


class MixerBlock(nn.Module):
    """Mixes tokens, then channels (Tolstikhin et al. 2021)."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.mix = nn.Sequential(nn.Linear(tokens, 64), nn.GELU(), nn.Linear(64, tokens))
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Transforms tokens: ``(N, tokens, dim)`` -> the same shape."""
        x = x + self.mix(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class Mixer(nn.Module):
    """An MLP-mixer on 4×4 patches."""

    def __init__(self, *, dim: int = 64, depth: int = 3) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, 4, stride=4)
        self.blocks = nn.Sequential(*(MixerBlock(64, dim) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, 3, 32, 32)`` with logits."""
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.norm(self.blocks(x)).mean(dim=1))
        return logits


class ConvNextBlock(nn.Module):
    """A depthwise 7×7 convolution, then a perceptron at each place (Liu et al. 2022)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Transforms channels: ``(N, dim, H, W)`` -> the same shape."""
        places = self.depthwise(x).permute(0, 2, 3, 1)
        return x + self.mlp(self.norm(places)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class ConvNext(nn.Module):
    """A ConvNeXt on 4×4 patches: two stages, between them half as many places to a side."""

    def __init__(self, dims: tuple[int, int] = (64, 96), depth: int = 2) -> None:
        super().__init__()
        first, last = dims
        self.patch_embed = nn.Conv2d(3, first, 4, stride=4)
        self.early = nn.Sequential(*(ConvNextBlock(first) for _ in range(depth)))
        self.downsample = nn.Conv2d(first, last, 2, stride=2)
        self.late = nn.Sequential(*(ConvNextBlock(last) for _ in range(depth)))
        self.norm = nn.LayerNorm(last)
        self.head = nn.Linear(last, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, 3, 32, 32)`` with logits."""
        x = self.late(self.downsample(self.early(self.patch_embed(x))))
        logits: Tensor = self.head(self.norm(x.mean(dim=(2, 3))))
        return logits


def _unit(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(
        c_in, c_out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(c_out), nn.ReLU()]


def _end(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


def wide_cnn() -> nn.Sequential:
    """Four convolutions, the first two with 5×5 kernels."""
    return nn.Sequential(
        *_unit(3, 24, 5, 2),
        *_unit(24, 48, 5, 2),
        *_unit(48, 96, 3),
        *_unit(96, 96, 3, 2),
        *_end(96),
    )


def separable_cnn() -> nn.Sequential:
    """Depthwise and pointwise convolutions in turn, as in MobileNet."""
    layers = _unit(3, 32, 3, 2)
    for c_in, c_out, stride in ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 192, 2)):
        layers += [*_unit(c_in, c_in, 3, stride, groups=c_in), *_unit(c_in, c_out, 1)]
    return nn.Sequential(*layers, *_end(192))


def _perceptron() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for wide, narrow in ((3072, 256), (256, 256), (256, 128)):
        layers += [nn.Linear(wide, narrow), nn.BatchNorm1d(narrow), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, CLASSES))


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "resnet20": lambda: Pixels(CifarResNet(3)),
    "resnet44": lambda: Pixels(CifarResNet(7)),
    "resnet8": lambda: Pixels(CifarResNet(1)),
    "plain cnn": lambda: Pixels(PlainCnn()),
    "wide cnn": lambda: Pixels(wide_cnn()),
    "separable cnn": lambda: Pixels(separable_cnn()),
    "vit": lambda: Pixels(ColourVit()),
    "mixer": lambda: Pixels(Mixer()),
    "convnext": lambda: Pixels(ConvNext()),
    "mlp": lambda: Pixels(_perceptron()),
    "digits cnn": networks.cnn,
    "digits slim cnn": networks.slim_cnn,
    "digits vit": networks.vit,
    "digits mlp": networks.mlp,
}
"""What builds each architecture, untrained and with ten answers."""


def build(architecture: str, *, classes: int = CLASSES, folded: bool = False) -> nn.Module:
    """Builds an untrained network.

    Args:
        architecture: A name in :data:`ARCHITECTURES`.
        classes: Number of answers.
        folded: Whether its batch normalisation is folded into the convolutions.

    Returns:
        The network in evaluation mode.

    Raises:
        KeyError: No such architecture.
    """
    network = ARCHITECTURES[architecture]().eval()
    if classes != CLASSES:
        networks.replace_head(network, classes)
    return without_normalisation(network) if folded else network


def body(network: nn.Module) -> nn.Module:
    """Returns the network behind the normalisation of pixels, if there is one."""
    return network.network if isinstance(network, Pixels) else network
