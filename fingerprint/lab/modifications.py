"""What happens to a network after it leaves its owner: each function returns a changed copy."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fingerprint.lab.data import Data
from fingerprint.lab.networks import Cnn, head, replace_head
from fingerprint.lab.training import Settings, train

__all__ = [
    "averaged",
    "fine_tuned",
    "folded",
    "layers",
    "matrices",
    "on_grid",
    "pruned",
    "quantised",
    "rounded",
    "with_head",
    "with_weights",
    "without_smallest",
]

_FINE_TUNING = Settings(epochs=2, lr=5e-4)

Network = TypeVar("Network", bound=nn.Module)
Weights = Callable[[nn.Module], Iterator[nn.Parameter]]


def matrices(network: nn.Module) -> Iterator[nn.Parameter]:
    """Yields matrices and kernels; biases and normalisation are left out.

    One number has no spread, and whole or complex ones no rounding.
    """
    for parameter in network.parameters():
        if parameter.ndim > 1 and parameter.numel() > 1 and parameter.is_floating_point():
            yield parameter


def layers(network: nn.Module) -> Iterator[nn.Parameter]:
    """Yields those that linear layers and convolutions multiply by, each once."""
    own = {
        id(module.weight) for module in network.modules() if isinstance(module, nn.Linear | _ConvNd)
    }
    return (weight for weight in matrices(network) if id(weight) in own)


def with_weights(
    network: Network, change: Callable[[Tensor], Tensor], *, of: Weights = matrices
) -> Network:
    """Returns a copy with every matrix and kernel changed; biases and normalisation stay.

    Args:
        network: Left alone.
        change: Returns the new weight, of the same shape and dtype.
        of: Chooses the weights.
    """
    changed = copy.deepcopy(network)
    for weight in of(changed):
        weight.data = change(weight.data)
    return changed


def on_grid(weight: Tensor, bits: int) -> Tensor:
    """Rounds a weight to symmetric integers with one scale for each output channel.

    The scales are applied again at once, as a runtime does that stores integers and computes
    in floating point. A channel of zeros stays one.

    Args:
        weight: Of any shape; output channels come first.
        bits: Width of the integers.
    """
    axes = tuple(range(1, weight.ndim))
    step = weight.abs().amax(axes, keepdim=True) / (2 ** (bits - 1) - 1)
    step = torch.where(step > 0, step, torch.ones_like(step))
    return (weight / step).round() * step


def without_smallest(weight: Tensor, share: float) -> Tensor:
    """Sets the smallest entries to zero; at least one is kept.

    Args:
        weight: Of any shape.
        share: Share of the entries that go; where entries are equal, fewer may.
    """
    limit = _limit(weight, share)
    return torch.where(weight.abs() >= limit, weight, torch.zeros_like(weight))


def _limit(weight: Tensor, share: float) -> Tensor:
    """Returns the smallest magnitude that is kept."""
    keep = max(1, round((1 - share) * weight.numel()))
    return weight.abs().flatten().topk(keep).values[-1]


def quantised(network: Network, *, bits: int = 8) -> Network:
    """Rounds weights to integers, as :func:`on_grid` does.

    Args:
        network: Left alone.
        bits: Width of the integers.
    """
    return with_weights(network, lambda weight: on_grid(weight, bits))


def pruned(network: Network, *, share: float = 0.3, of: Weights = matrices) -> Network:
    """Sets the smallest weights of the whole network to zero, without training again.

    Args:
        network: Left alone.
        share: Share of all weights that go; biases and normalisation stay.
        of: Chooses the weights.
    """
    limit = _limit(torch.cat([weight.data.flatten() for weight in of(network)]), share)
    return with_weights(
        network, lambda w: torch.where(w.abs() >= limit, w, torch.zeros_like(w)), of=of
    )


def rounded(network: Network) -> Network:
    """Returns a copy whose parameters have the precision of bfloat16."""
    changed = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.copy_(parameter.bfloat16())
    return changed


def averaged(parts: Sequence[nn.Module], shares: Sequence[float]) -> nn.Module:
    """Returns a network whose weights and statistics are the weighted means of the parts'."""
    changed = copy.deepcopy(parts[0])
    states = [part.state_dict() for part in parts]
    mean = {
        name: sum(share * state[name] for share, state in zip(shares, states, strict=True))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }
    changed.load_state_dict(mean)
    return changed


def fine_tuned(
    network: Network, data: Data, settings: Settings = _FINE_TUNING, *, seed: int, **more: Any
) -> Network:
    """Trains a copy further, with a new head if the data has another number of classes.

    Args:
        network: Left alone.
        data: What to train on.
        settings: How.
        seed: Decides a new head's weights, the order of the batches and every other draw.
        **more: Further arguments of :func:`fingerprint.lab.training.train`.
    """
    classes = int(data.train_labels.max()) + 1
    kept = classes == head(network).out_features
    changed = copy.deepcopy(network) if kept else with_head(network, classes, seed=seed)
    return train(changed, data, settings, seed=seed, **more)


def with_head(network: Network, classes: int, *, seed: int) -> Network:
    """Returns a copy with a new, untrained head.

    Args:
        network: Left alone.
        classes: Number of its answers.
        seed: Decides the head's weights.
    """
    changed = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        replace_head(changed, classes)
    return changed


def folded(network: Network) -> Network:
    """Returns a copy with batch normalisation folded into the convolutions, as exporters do.

    Args:
        network: In evaluation mode; left alone.

    Returns:
        A network without batch normalisation after convolutions.
    """
    changed = copy.deepcopy(network)
    for parent, convolution, norm in list(_normalised(changed)):
        before, after = parent.get_submodule(convolution), parent.get_submodule(norm)
        assert isinstance(before, nn.Conv2d)
        assert isinstance(after, nn.BatchNorm2d)
        parent.set_submodule(convolution, fuse_conv_bn_eval(before, after))
        parent.set_submodule(norm, nn.Identity())
    return changed


def _normalised(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Yields who holds a convolution and its batch normalisation, and their names there.

    A container that applies its children in the order in which it holds them, and the ResNets,
    hold a convolution right before its normalisation; the digits' networks hold two lists.
    """
    for module in network.modules():
        if isinstance(module, Cnn):
            for place, norm in enumerate(module.norms):
                if isinstance(norm, nn.BatchNorm2d):
                    yield module, f"convolutions.{place}", f"norms.{place}"
            continue
        children = list(module.named_children())
        for (first, convolution), (second, norm) in itertools.pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                yield module, first, second
