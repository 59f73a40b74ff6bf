"""The architectures of the zoo: small enough to train many of each on one core.

Every network takes pixels in [0, 1] and answers with logits. The demo's networks serve the
digits; with a colour image's first layer they serve CIFAR-10 too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks.cifar_resnet import CifarResNet
from benchmarks.detection.data import CLASSES
from cli.demo import networks as demo

__all__ = [
    "ARCHITECTURES",
    "Mixer",
    "Pixels",
    "PlainCnn",
    "Vit",
    "body",
    "build",
    "fold",
    "head",
    "replace_head",
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


class PlainCnn(demo.Cnn):
    """The demo's six convolutions for colour images."""

    def __init__(self, width: int = 32) -> None:
        super().__init__(width)
        self.convolutions[0] = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)


class Vit(demo.Vit):
    """The demo's transformer for colour images: 8×8 patches, so 192 numbers become 64."""

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
    "vit": lambda: Pixels(Vit()),
    "mixer": lambda: Pixels(Mixer()),
    "mlp": lambda: Pixels(_perceptron()),
    "digits cnn": demo.cnn,
    "digits slim cnn": demo.slim_cnn,
    "digits vit": demo.vit,
    "digits mlp": demo.mlp,
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
        replace_head(network, classes)
    return fold(network) if folded else network


def body(network: nn.Module) -> nn.Module:
    """Returns the network behind the normalisation of pixels, if there is one."""
    return network.network if isinstance(network, Pixels) else network


def head(network: nn.Module) -> nn.Linear:
    """Returns the last linear layer, which is every architecture's head."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def replace_head(network: nn.Module, classes: int) -> None:
    """Puts a new, untrained head with another number of answers in place of the old one."""
    old = head(network)
    path = next(name for name, module in network.named_modules() if module is old)
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Linear(old.in_features, classes))


def fold(network: nn.Module) -> nn.Module:
    """Folds each batch normalisation into the convolution before it, in place.

    Args:
        network: In evaluation mode.

    Returns:
        The same network, without batch normalisation after convolutions.
    """
    for parent, convolution, norm in list(_normalised(network)):
        fused = fuse_conv_bn_eval(parent.get_submodule(convolution), parent.get_submodule(norm))
        parent.set_submodule(convolution, fused)
        parent.set_submodule(norm, nn.Identity())
    return network


def _normalised(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Yields who holds a convolution and its batch normalisation, and their names there.

    A container that applies its children in the order in which it holds them, and the ResNets,
    hold a convolution right before its normalisation; the demo's networks hold two lists.
    """
    for module in network.modules():
        if isinstance(module, demo.Cnn):
            for i in range(len(module.convolutions)):
                yield module, f"convolutions.{i}", f"norms.{i}"
            continue
        children = list(module.named_children())
        for (first, convolution), (second, norm) in itertools.pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                yield module, first, second
