"""The networks of the golden release, frozen: their weights are kept beside the registry.

They are written with torch alone, so that whatever becomes of the demo's networks, these files
can be loaded by ``--arch tests.registry.golden.networks_0002:cnn --input-size 1,16,16``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["cnn", "cnn_five_classes", "mlp", "vit"]


def cnn(classes: int = 10) -> nn.Module:
    """Six convolutions with batch normalisation: no linear harmless space."""
    layers: list[nn.Module] = []
    channels = (1, 16, 16, 32, 32, 32, 32)
    for c_in, c_out, stride in zip(channels, channels[1:], (2, 1, 2, 1, 1, 1), strict=False):
        layers += [
            nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
        ]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels[-1], classes)
    )


def cnn_five_classes() -> nn.Module:
    """The convolutional network with a head for another task."""
    return cnn(5)


def mlp() -> nn.Module:
    """A perceptron with a linear harmless space of 160 of 256 dimensions."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(256, 96),
        nn.ReLU(),
        nn.Linear(96, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, dim: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, dim = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * (dim // self.heads) ** -0.5).softmax(dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, tokens, dim))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class Vit(nn.Module):
    """A transformer whose patch embedding leaves half of each 4×4 patch harmless."""

    def __init__(self, dim: int = 8, tokens: int = 16) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(1, dim, 4, stride=4)
        self.position = nn.Parameter(0.1 * torch.randn(1, tokens, dim))
        self.blocks = nn.Sequential(Block(dim), Block(dim))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(tokens * dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.position
        logits: Tensor = self.head(self.norm(self.blocks(x)).flatten(1))
        return logits


def vit() -> nn.Module:
    return Vit()
