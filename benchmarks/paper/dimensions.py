"""How many dimensions of one layer's inputs are harmless, and is that what the formula says?

found = measured(nn.Conv2d(3, 64, 3, stride=4, padding=1), (3, 32, 32))
found.harmless      # n - rank(A), Theorem 1
found.formula       # max(0, n - m), Corollaries 1 and 2
found.reasons       # why they differ, by counting what the windows read
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fingerprint.operators import linear_operator
from fingerprint.spaces import null_space

__all__ = ["Dimension", "difference", "measured", "numpy_rank"]

MAX_CHECKED = 4096 * 3072
"""Entries of the largest matrix whose rank numpy is asked for: fifteen seconds on one core."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """The harmless dimension of one layer.

    Attributes:
        n: Inputs.
        m: Outputs.
        rank: Of its matrix A.
        checked: The rank by numpy; None where A is too large for that.
        reasons: Why n - rank(A) is not max(0, n - m); empty where it is.
    """

    n: int
    m: int
    rank: int
    checked: int | None
    reasons: tuple[str, ...]

    @property
    def harmless(self) -> int:
        """Theorem 1: ``n - rank(A)``."""
        return self.n - self.rank

    @property
    def formula(self) -> int:
        """Corollaries 1 and 2 of the paper: ``max(0, n - m)``."""
        return max(0, self.n - self.m)


def measured(layer: nn.Conv2d | nn.Linear, shape: tuple[int, ...]) -> Dimension:
    """Computes the harmless dimension of a layer on inputs of a shape.

    Args:
        layer: A convolution or linear layer; computed in float64.
        shape: Of one input.
    """
    operator = linear_operator(layer, shape)
    dimension = null_space(operator).dimension
    assert dimension is not None  # these are all small enough to be decomposed
    found = Dimension(
        n=operator.n,
        m=operator.m,
        rank=operator.n - dimension,
        checked=numpy_rank(layer, shape) if operator.n * operator.m <= MAX_CHECKED else None,
        reasons=(),
    )
    if found.harmless == found.formula or isinstance(layer, nn.Linear):
        return found
    return replace(found, reasons=difference(layer, shape))


def numpy_rank(layer: nn.Conv2d | nn.Linear, shape: tuple[int, ...]) -> int:
    """Returns numpy's rank of a layer's matrix, built by the layer itself from unit vectors."""
    units = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
    with torch.no_grad():
        columns = _without_bias(layer, units).flatten(1).numpy()
    return int(np.linalg.matrix_rank(columns))


def _without_bias(layer: nn.Conv2d | nn.Linear, x: Tensor) -> Tensor:
    weight = layer.weight.double()
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight)
    return functional.conv2d(x, weight, None, layer.stride, layer.padding)


def difference(layer: nn.Conv2d, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Says what takes a convolution out of Corollary 1, by counting what its windows read."""
    ones = torch.ones(1, *shape, dtype=torch.float64, requires_grad=True)
    window = torch.ones(1, *layer.weight.shape[1:], dtype=torch.float64)
    read = functional.conv2d(ones, window, None, layer.stride, layer.padding)
    (reached,) = torch.autograd.grad(read.sum(), ones)
    unread = int((reached == 0).sum())
    filters, width = layer.weight.shape[0], layer.weight[0].numel()
    border = int(((read < filters) & (read < width)).sum())
    reasons = []
    if unread:
        gap = any(step > side for step, side in zip(layer.stride, layer.kernel_size, strict=True))
        because = "stride exceeds kernel: " if gap else ""
        reasons.append(f"{because}{unread} inputs are in no window")
    if filters > width:
        reasons.append(f"{filters} kernels of {width} weights cannot be independent")
    elif border:
        reasons.append(f"padding: {border} border windows read fewer than {filters} inputs")
    return tuple(reasons) or ("the rows of A are dependent",)
