"""What happens to a model after it leaves its owner: each function returns a changed copy."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cli.demo.data import Digits
from cli.demo.networks import Cnn
from cli.demo.training import train

__all__ = ["fine_tuned", "folded", "permuted", "pruned", "quantised"]


def _weights(network: nn.Module) -> list[nn.Parameter]:
    """Returns matrices and kernels; biases and normalisation are left out."""
    return [parameter for parameter in network.parameters() if parameter.dim() > 1]


def quantised(network: nn.Module, *, bits: int = 8) -> nn.Module:
    """Rounds weights to symmetric integers with one scale for each output channel.

    The scales are applied again at once, as a runtime does that stores integers and computes
    in floating point.

    Args:
        network: Left alone.
        bits: Width of the integers.
    """
    changed = copy.deepcopy(network)
    levels = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for weight in _weights(changed):
            largest = weight.abs().flatten(1).amax(dim=1).clamp_min(torch.finfo(weight.dtype).tiny)
            scale = (largest / levels).view(-1, *(1,) * (weight.dim() - 1))
            weight.copy_((weight / scale).round() * scale)
    return changed


def pruned(network: nn.Module, *, share: float = 0.3) -> nn.Module:
    """Sets the smallest weights of the whole network to zero, without training again.

    Args:
        network: Left alone.
        share: Share of all weights that go; biases and normalisation stay.
    """
    changed = copy.deepcopy(network)
    weights = _weights(changed)
    with torch.no_grad():
        magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
        smallest = magnitudes.argsort(stable=True)[: int(share * len(magnitudes))]
        keeps = torch.ones_like(magnitudes)
        keeps[smallest] = 0
        parts = torch.split(keeps, [weight.numel() for weight in weights])
        for weight, part in zip(weights, parts, strict=True):
            weight.mul_(part.view_as(weight))
    return changed


def fine_tuned(
    network: nn.Module, data: Digits, *, seed: int, epochs: int = 2, lr: float = 5e-4
) -> nn.Module:
    """Trains a copy further.

    Args:
        network: Left alone.
        data: What to train on.
        seed: Decides the order of the batches.
        epochs: Passes over the training images.
        lr: Largest learning rate.
    """
    return train(copy.deepcopy(network), data, seed=seed, epochs=epochs, lr=lr)


def permuted(network: Cnn, *, seed: int) -> Cnn:
    """Reorders the hidden channels, which changes every weight tensor and no answer.

    Args:
        network: Left alone.
        seed: Decides the order.
    """
    changed = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    order: Tensor | None = None
    with torch.no_grad():
        for convolution, norm in changed.layers():
            if order is not None:
                convolution.weight.copy_(convolution.weight[:, order])
            order = torch.randperm(convolution.out_channels, generator=generator)
            for tensor in (*convolution.parameters(), *norm.parameters(), *norm.buffers()):
                if tensor.dim() > 0:
                    tensor.copy_(tensor[order])
        weight = changed.head.weight
        by_channel = weight.reshape(len(weight), convolution.out_channels, -1)
        weight.copy_(by_channel[:, order].flatten(1))
    return changed


def folded(network: Cnn) -> Cnn:
    """Folds batch normalisation into the convolutions, as exporters do.

    Args:
        network: In evaluation mode; left alone.
    """
    changed = Cnn(network.width, normalised=False)
    fused = (
        fuse_conv_bn_eval(convolution, norm)
        for convolution, norm in network.layers()
        if isinstance(norm, nn.BatchNorm2d)
    )
    changed.convolutions = nn.ModuleList(fused)
    changed.head = copy.deepcopy(network.head)
    return changed.eval()
