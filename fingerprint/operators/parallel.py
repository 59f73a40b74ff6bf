"""Convolutions side by side, their outputs added, as one convolution.

Reparameterisable stems (RepVGG, MobileOne, FastViT) add a 1×1 and a 3×3 branch, each with its
BatchNorm; their sum is one 3×3 convolution, whose null space is much easier to find.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Product, Sum
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.normalization import Diagonal
from fingerprint.operators.reshape import Reshape
from fingerprint.operators.simplify import compose

__all__ = ["added"]


def added(operators: Sequence[LinearOperator]) -> LinearOperator:
    """Adds operators, convolutions of one stride, grouping and dilation into one.

    Args:
        operators: At least one, all of the same shapes.

    Returns:
        An operator equal to the sum, a :class:`Sum` where the terms do not merge.

    Raises:
        UsageError: Shapes, dtypes or devices differ.
    """
    whole = Sum(operators)
    if len(operators) == 1:
        return operators[0]
    branches = [_as_convolution(operator) for operator in operators]
    first = branches[0]
    if first is None:
        return whole
    merged = first
    for branch in branches[1:]:
        if branch is None or not _alike(merged, branch):
            return whole
        merged = _joined(merged, branch)
    shaped = Reshape(merged.out_shape, whole.out_shape, dtype=whole.dtype, device=whole.device)
    return compose(shaped, merged)


def _as_convolution(operator: LinearOperator) -> Convolution | None:
    """Reads ``Reshape @ Diagonal @ Convolution``, the first two optional, as a convolution."""
    factors = list(operator.factors) if isinstance(operator, Product) else [operator]
    if len(factors) > 1 and isinstance(factors[0], Reshape):
        factors.pop(0)
    scale = factors.pop(0) if len(factors) > 1 and isinstance(factors[0], Diagonal) else None
    if len(factors) != 1 or not isinstance(factors[0], Convolution):
        return None
    convolution = factors[0]
    if scale is None:
        return convolution
    if not isinstance(scale, Diagonal) or not scale.is_channelwise:
        return None
    per_output = scale.scale.reshape(-1, *(1,) * (convolution.weight.ndim - 1))
    return _like(convolution, convolution.weight * per_output, convolution.padding)


def _alike(one: Convolution, other: Convolution) -> bool:
    return (one.out_shape, one.stride, one.groups, set(one.dilation) | set(other.dilation)) == (
        other.out_shape,
        other.stride,
        other.groups,
        {1},
    )


def _joined(one: Convolution, other: Convolution) -> Convolution:
    """Lays one kernel over the other, as far before and after as either reaches."""
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
