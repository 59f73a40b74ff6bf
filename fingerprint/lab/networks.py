"""Networks for digits: a convolutional one, a vision transformer and a perceptron.

All take pixels in [0, 1] of shape ``(N, 1, size, size)`` and answer with ten logits. The
factories at the end take no arguments, so a weights file can be named on the command line:
``fp verify copy.safetensors --arch fingerprint.lab.networks:cnn --input-size 1,16,16``.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fingerprint.lab.data import CLASSES, DEFAULT_SIZE

__all__ = [
    "Attention",
    "Block",
    "Cnn",
    "Mlp",
    "Vit",
    "cnn",
    "folded_cnn",
    "head",
    "mlp",
    "replace_head",
    "slim_cnn",
    "vit",
]


class Cnn(nn.Module):
    """Six convolutions, each with batch normalisation, and a linear head.

    Its first layer has more outputs than inputs, so it has no linear harmless space: only
    whole-network probes apply. Six layers are not needed to tell digits apart; they are needed
    because shallow networks trained on the same few images end up computing much the same
    function, and then what is harmless for one is nearly harmless for the next.

    Args:
        width: Channels of the first two convolutions; the later ones have twice as many.
        normalised: Whether batch normalisation follows each convolution. Without it the
            convolutions carry a bias, as an export with folded normalisation has.
    """

    def __init__(self, width: int = 16, *, normalised: bool = True) -> None:
        super().__init__()
        self.width = width
        channels = (1, width, width, *(4 * (2 * width,)))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=not normalised)
            for c_in, c_out, stride in zip(channels, channels[1:], (2, 1, 2, 1, 1, 1), strict=False)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(c_out) if normalised else nn.Identity() for c_out in channels[1:]
        )
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(4 * channels[-1], CLASSES)

    def layers(self) -> Iterator[tuple[nn.Conv2d, nn.Module]]:
        """Yields each convolution with what follows it: batch normalisation or the identity."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            assert isinstance(convolution, nn.Conv2d)
            yield convolution, norm

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, 1, size, size)`` with logits ``(N, 10)``."""
        for convolution, norm in self.layers():
            x = self.relu(norm(convolution(x)))
        logits: Tensor = self.head(self.pool(x).flatten(1))
        return logits


class Attention(nn.Module):
    """Multi-head self-attention written out, so that every derivative of it exists."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Mixes tokens: ``(N, tokens, dim)`` -> the same shape."""
        n, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        mixed: Tensor = self.out((weights @ v).transpose(1, 2).reshape(n, tokens, dim))
        return mixed


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Transforms tokens: ``(N, tokens, dim)`` -> the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class Vit(nn.Module):
    """A vision transformer whose patch embedding is narrower than its patch.

    Each 4×4 patch becomes 8 numbers, so half of its 16 dimensions are harmless: the network
    has a linear harmless space of half the input.

    Args:
        size: Side of the images in pixels.
        patch: Side of a patch.
        dim: Width of the tokens; below ``patch²`` there is a harmless space.
        depth: Number of blocks.
        heads: Attention heads per block.
    """

    def __init__(
        self,
        size: int = DEFAULT_SIZE,
        *,
        patch: int = 4,
        dim: int = 8,
        depth: int = 2,
        heads: int = 2,
    ) -> None:
        super().__init__()
        tokens = (size // patch) ** 2
        self.patch_embed = nn.Conv2d(1, dim, patch, stride=patch)
        self.position = nn.Parameter(0.1 * torch.randn(1, tokens, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(tokens * dim, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, 1, size, size)`` with logits ``(N, 10)``."""
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.position
        logits: Tensor = self.head(self.norm(self.blocks(x)).flatten(1))
        return logits


class Mlp(nn.Module):
    """A perceptron with two hidden layers.

    Args:
        size: Side of the images in pixels.
        hidden: Width of the first hidden layer; below ``size²`` there is a linear harmless
            space of dimension ``size² - hidden``.
    """

    def __init__(self, size: int = DEFAULT_SIZE, *, hidden: int = 96) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(size * size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 64),
            nn.ReLU(),
            nn.Linear(64, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, 1, size, size)`` with logits ``(N, 10)``."""
        logits: Tensor = self.layers(x)
        return logits


def cnn() -> Cnn:
    """Returns an untrained convolutional network."""
    return Cnn()


def folded_cnn() -> Cnn:
    """Returns the convolutional network as exporters write it: normalisation folded away."""
    return Cnn(normalised=False)


def slim_cnn() -> Cnn:
    """Returns an untrained convolutional network with fewer channels."""
    return Cnn(12)


def vit() -> Vit:
    """Returns an untrained vision transformer."""
    return Vit()


def mlp() -> Mlp:
    """Returns an untrained perceptron."""
    return Mlp()


def head(network: nn.Module) -> nn.Linear:
    """Returns the last linear layer, which is the head of every network of the lab."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def replace_head(network: nn.Module, classes: int) -> None:
    """Puts a new, untrained head with another number of answers in place of the old one."""
    old = head(network)
    path = next(name for name, module in network.named_modules() if module is old)
    network.set_submodule(path, nn.Linear(old.in_features, classes))
