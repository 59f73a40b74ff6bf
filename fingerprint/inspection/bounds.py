"""What the rank of a layer does not exceed, known without decomposing the layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fingerprint.inspection.way import decomposition_flops
from fingerprint.inspection.ways import core
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Repeated
from fingerprint.operators.convolution import Convolution
from fingerprint.spaces.rank import numerical_rank, proves_full_rank

__all__ = ["rank_bound"]

_MOST_FLOPS = 2.0**36
"""What a bound may cost: a kernel of a thousand channels each way."""


def rank_bound(operator: LinearOperator) -> int:
    """Returns a number that the rank does not exceed, without decomposing the operator.

    A kernel with fewer independent input channels than it has leaves the others harmless at
    every pixel; one with fewer independent filters has as many fewer independent outputs.
    """
    inner = core(operator)
    bound = min(inner.shape)
    if isinstance(inner, Repeated):
        return min(bound, rank_bound(inner.operator) * math.prod(inner.times))
    if not isinstance(inner, Convolution) or inner.in_shape[0] == inner.groups:
        return bound
    kernels = inner.weight.reshape(inner.groups, -1, *inner.weight.shape[1:]).flatten(3)
    filters, channels = kernels.flatten(2), kernels.transpose(1, 2).flatten(2)
    if inner.groups * decomposition_flops(*filters.shape[1:]) > _MOST_FLOPS:
        return bound
    pixels = math.prod(inner.in_shape[1:])
    windows_in_all = math.prod(inner.out_shape[1:])
    by_filters = sum(_rank(matrix) for matrix in filters) * windows_in_all
    by_channels = sum(_rank(matrix) for matrix in channels) * pixels
    return min(bound, by_filters, by_channels)


def _rank(matrix: Tensor) -> int:
    exact = matrix.to(torch.float64)
    short = exact if len(exact) <= exact.shape[1] else exact.T
    if proves_full_rank(short @ short.T, (len(exact), exact.shape[1]), torch.float64):
        return len(short)
    values = torch.linalg.svdvals(exact)
    return numerical_rank(values, (matrix.shape[0], matrix.shape[1]), torch.float64)
