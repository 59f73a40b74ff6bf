"""Copies that compute the same function from other weights: units reordered and rescaled.

Between two layers stand units that nothing outside can tell apart. They can be put in another
order, and where what lies between the layers commutes with positive factors, each can be
scaled by its own one. The next layer undoes both, so no answer changes beyond rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fingerprint.lab import networks
from fingerprint.lab.architectures import body
from fingerprint.lab.cifar_resnet import BasicBlock, CifarResNet

__all__ = ["equivalent"]

_LARGEST_FACTOR = 4.0


@dataclass(frozen=True, eq=False)
class _Units:
    """A change of units: the new i-th unit is the old ``order[i]``-th times ``scale[i]``."""

    order: Tensor
    scale: Tensor

    def leave(self, layer: nn.Module) -> None:
        """Reorders what a layer gives; a normalisation also scales what it gives."""
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.dim() > 0:
                tensor.copy_(tensor[self.order])
        if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm):
            layer.weight.mul_(self.scale)
            layer.bias.mul_(self.scale)

    def enter(self, layer: nn.Conv2d | nn.Linear) -> None:
        """Makes a layer take the new units; each may stand for several neighbouring inputs."""
        weight = layer.weight
        by_unit = weight.reshape(len(weight), len(self.order), -1)[:, self.order]
        weight.copy_((by_unit / self.scale[:, None]).reshape(weight.shape))


Draw = Callable[[int], _Units]


def equivalent(
    network: nn.Module, *, seed: int, reordered: bool = False, rescaled: bool = False
) -> nn.Module:
    """Returns a copy with the same answers and other weights.

    Args:
        network: In evaluation mode; left alone.
        seed: Decides order and factors.
        reordered: Whether units change places.
        rescaled: Whether units are multiplied, by factors between 1/4 and 4.

    Raises:
        TypeError: The symmetries of this kind of network are not written down here.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(units: int) -> _Units:
        order = torch.randperm(units, generator=generator)
        scale = _LARGEST_FACTOR ** (2 * torch.rand(units, generator=generator) - 1)
        return _Units(
            order if reordered else torch.arange(units),
            scale if rescaled else torch.ones(units),
        )

    changed = copy.deepcopy(network)
    inner = body(changed)
    with torch.no_grad():
        if isinstance(inner, networks.Cnn):
            _change_cnn(inner, draw)
        elif isinstance(inner, CifarResNet):
            _change_resnet(inner, draw)
        elif isinstance(inner, networks.Vit):
            _change_vit(inner, draw)
        else:
            raise TypeError(f"expected a plain CNN, a CifarResNet or a Vit, got {type(inner)}")
    return changed


def _change_cnn(network: networks.Cnn, draw: Draw) -> None:
    units: _Units | None = None
    for convolution, norm in network.layers():
        if units is not None:
            units.enter(convolution)
        units = draw(convolution.out_channels)
        units.leave(convolution)
        units.leave(norm)
    if units is not None:
        units.enter(network.head)


def _change_resnet(network: CifarResNet, draw: Draw) -> None:
    stream = draw(network.conv1.out_channels)
    stream.leave(network.conv1)
    stream.leave(network.bn1)
    for stage in (network.layer1, network.layer2, network.layer3):
        for block in stage:
            assert isinstance(block, BasicBlock)
            stream = _change_block(block, stream, draw)
    stream.enter(network.linear)


def _change_block(block: BasicBlock, stream: _Units, draw: Draw) -> _Units:
    """Changes a block's inner units, and its outer ones as the shortcut leaves them."""
    stream.enter(block.conv1)
    inner = draw(block.conv1.out_channels)
    inner.leave(block.conv1)
    inner.leave(block.bn1)
    inner.enter(block.conv2)
    outer = _padded(stream, block.extra, draw)
    outer.leave(block.conv2)
    outer.leave(block.bn2)
    return outer


def _padded(stream: _Units, extra: int, draw: Draw) -> _Units:
    """Returns the units after a shortcut that pads channels: old ones stay in the middle."""
    if not extra:
        return stream
    before = extra // 2
    middle = torch.arange(before, before + len(stream.order))
    size = len(middle) + extra
    outside = torch.cat([torch.arange(before), torch.arange(before + len(middle), size)])
    new = draw(extra)
    order, scale = torch.arange(size), torch.ones(size)
    order[middle], scale[middle] = before + stream.order, stream.scale
    order[outside], scale[outside] = outside[new.order], new.scale
    return _Units(order, scale)


def _change_vit(network: networks.Vit, draw: Draw) -> None:
    """Changes the tokens' dimensions, heads and hidden units.

    Layer normalisation and GELU commute with orders only, so tokens and hidden units keep
    their scale; what a layer normalisation gives does not have to.
    """
    dim = network.patch_embed.out_channels
    tokens = _unscaled(draw(dim))
    tokens.leave(network.patch_embed)
    network.position.copy_(network.position[..., tokens.order])
    for block in network.blocks:
        assert isinstance(block, networks.Block)
        first, second = block.mlp[0], block.mlp[2]
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        _normalised(block.norm1, tokens, draw).enter(block.attention.qkv)
        _change_heads(block.attention, draw)
        tokens.leave(block.attention.out)
        _normalised(block.norm2, tokens, draw).enter(first)
        hidden = _unscaled(draw(first.out_features))
        hidden.leave(first)
        hidden.enter(second)
        tokens.leave(second)
    last = _normalised(network.norm, tokens, draw)
    places = network.head.in_features // dim
    spread = torch.cat([last.order + place * dim for place in range(places)])
    _Units(spread, last.scale.repeat(places)).enter(network.head)


def _unscaled(units: _Units) -> _Units:
    return _Units(units.order, torch.ones_like(units.scale))


def _normalised(norm: nn.LayerNorm, tokens: _Units, draw: Draw) -> _Units:
    """Lets a normalisation give the tokens' dimensions in their order, scaled anew."""
    units = _Units(tokens.order, draw(len(tokens.order)).scale)
    units.leave(norm)
    return units


def _change_heads(attention: networks.Attention, draw: Draw) -> None:
    """Reorders heads and what is inside each; scales queries up where keys go down."""
    dim = attention.out.in_features
    size = dim // attention.heads
    heads = draw(attention.heads).order
    order = torch.cat([head * size + draw(size).order for head in heads.tolist()])
    match, value = draw(dim).scale, draw(dim).scale
    rows = torch.cat([order, dim + order, 2 * dim + order])
    factors = torch.cat([match, 1 / match, value])
    attention.qkv.weight.copy_(attention.qkv.weight[rows] * factors[:, None])
    attention.qkv.bias.copy_(attention.qkv.bias[rows] * factors)
    _Units(order, value).enter(attention.out)
