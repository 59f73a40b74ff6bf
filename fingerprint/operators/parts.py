"""An affine value as a sum of parts: entries of one layer's answer, moved and scaled.

Reparameterisable stems (RepVGG, MobileOne, FastViT) add a 1x1 and a 3x3 branch, each with its
batch norm; their sum is one 3x3 convolution, whose null space is much easier to find.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx
from torch.nn import functional

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Sum, compose
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.entries import Entries, simplest

__all__ = ["Part", "combined", "joined"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One way from the input to a value: entries of one layer's answer, moved and scaled.

    Attributes:
        left: From what the layer gives to the value.
        layer: From the input; None for the input itself.
        key: The node that the layer is.
    """

    left: Entries
    layer: LinearOperator | None
    key: fx.Node


def joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Joins parts that are entries of one layer at different places."""
    done: list[Part] = []
    for part in parts:
        for place, other in enumerate(done):
            apart = not bool(((other.left.source >= 0) & (part.left.source >= 0)).any())
            if other.key is part.key and apart:
                source = torch.maximum(other.left.source, part.left.source)
                scale = other.left.factors + part.left.factors
                left = Entries(part.left.in_shape, source, scale, out_shape=part.left.out_shape)
                done[place] = Part(left=left, layer=part.layer, key=part.key)
                break
        else:
            done.append(part)
    return tuple(done)


def combined(parts: Sequence[Part], shape: tuple[int, ...]) -> LinearOperator:
    """Adds parts: into one convolution where they are convolutions that fit, else as a sum.

    Args:
        parts: At least one, of one value.
        shape: Of that value.
    """
    if len(parts) == 1:
        return compose(simplest(parts[0].left), *_layer(parts[0]), out_shape=shape)
    merged = _one_convolution(parts)
    if merged is not None:
        return compose(merged, out_shape=shape)
    rows = [(part.left.source >= 0).nonzero().squeeze(1) for part in parts]
    operators = [
        compose(
            simplest(Entries(part.left.in_shape, part.left.source[kept], part.left.factors[kept])),
            *_layer(part),
        )
        for part, kept in zip(parts, rows, strict=True)
    ]
    return Sum(operators, rows, shape)


def _layer(part: Part) -> tuple[LinearOperator, ...]:
    return () if part.layer is None else (part.layer,)


def _one_convolution(parts: Sequence[Part]) -> Convolution | None:
    branches = [_as_convolution(part) for part in parts]
    merged = branches[0]
    for branch in branches[1:]:
        if merged is None or branch is None or not _alike(merged, branch):
            return None
        merged = _laid_over(merged, branch)
    return merged


def _as_convolution(part: Part) -> Convolution | None:
    """Reads a convolution with a factor for each of its channels as a convolution."""
    convolution, left = part.layer, simplest(part.left)
    if not isinstance(convolution, Convolution):
        return None
    if isinstance(left, Entries):
        return convolution if left.is_identity else None
    if not left.is_channelwise:
        return None
    channels = left.scale.reshape(-1, *(1,) * (convolution.weight.ndim - 1))
    return _like(convolution, convolution.weight * channels, convolution.padding)


def _alike(one: Convolution, other: Convolution) -> bool:
    return (one.out_shape, one.stride, one.groups, set(one.dilation) | set(other.dilation)) == (
        other.out_shape,
        other.stride,
        other.groups,
        {1},
    )


def _laid_over(one: Convolution, other: Convolution) -> Convolution:
    """Adds two kernels, as far before and after as either reaches."""
    # A window starts `before` pixels ahead of its place and ends `extent - before` behind it.
    befores, afters = [], []
    for axis in range(len(one.kernel)):
        sides = [(c.padding[axis][0], c.kernel[axis]) for c in (one, other)]
        befores.append(max(before for before, _ in sides))
        afters.append(max(taps - before for before, taps in sides))

    def grown(convolution: Convolution) -> Tensor:
        widths: list[int] = []
        for axis in reversed(range(len(befores))):
            before, taps = convolution.padding[axis][0], convolution.kernel[axis]
            widths += [befores[axis] - before, afters[axis] - (taps - before)]
        return functional.pad(convolution.weight, widths)

    padding = []
    for axis, (before, after) in enumerate(zip(befores, afters, strict=True)):
        reached = (one.out_shape[1 + axis] - 1) * one.stride[axis] + after
        padding.append((before, max(0, reached - one.in_shape[1 + axis])))
    return _like(one, grown(one) + grown(other), tuple(padding))


def _like(
    convolution: Convolution, weight: Tensor, padding: Sequence[tuple[int, int]]
) -> Convolution:
    return Convolution(
        weight,
        convolution.in_shape,
        stride=convolution.stride,
        padding=padding,
        dilation=convolution.dilation,
        groups=convolution.groups,
    )
