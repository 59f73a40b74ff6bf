"""Ways to the spectrum of a convolution whose windows overlap; see :mod:`ways`.

Nothing here has a side that grows with the area of the image, unless the estimate says that it
is small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from fingerprint.inspection.spectrum import Spectrum, combined, decomposed
from fingerprint.inspection.way import SOLVES, Way, decomposition_flops
from fingerprint.operators.convolution import Convolution
from fingerprint.spaces.inverse import band_size, from_convolution, probing_flops
from fingerprint.spaces.rank import free_inputs, full_row_rank
from fingerprint.spaces.windows import windows

__all__ = ["convolution_ways"]

_CHUNK = 2**23
"""Entries of the matrices that are decomposed at once (64 MiB)."""


def convolution_ways(operator: Convolution, k: int) -> list[Way]:
    """Returns the ways to the spectrum of a convolution whose windows overlap.

    Its groups of channels are decomposed, each as a matrix, where the image is small; else they
    are proven of full rank by their banded Gram matrices; else the rank alone may follow from
    the windows.
    """
    groups = operator.groups
    m, n = operator.m // groups, operator.n // groups
    side, width = band_size(operator)
    taps = math.prod(operator.weight.shape[1:])
    found = [
        Way(
            flops=groups * decomposition_flops(m, n),
            entries=max(m * n, min(_CHUNK, groups * m * n)),
            run=lambda: decomposed(_group_matrices(operator), k),
        ),
        Way(
            flops=groups * (side * width**2 + SOLVES * side * width + probing_flops(operator)),
            entries=2 * side * (width + 1),
            run=lambda: _by_band(operator, k),
        ),
    ]
    reads_own = any(stride > 1 for stride in operator.stride)
    if operator.weight.shape[0] // groups >= taps or (operator.m < operator.n and reads_own):
        entries = math.prod(operator.out_shape[1:]) * taps * groups
        found.append(
            Way(flops=100.0 * entries, entries=6 * entries, run=lambda: _by_windows(operator))
        )
    return found


def _different_groups(operator: Convolution) -> list[tuple[int, int]]:
    """Lists each group that differs from those before, and how often it occurs."""
    flat = operator.weight.reshape(operator.groups, -1)
    _, which, counts = torch.unique(flat, dim=0, return_inverse=True, return_counts=True)
    first: dict[int, int] = {}
    for group, number in enumerate(which.tolist()):
        first.setdefault(number, group)
    return [(group, int(counts[number])) for number, group in first.items()]


def _group_matrices(operator: Convolution) -> Iterator[tuple[Tensor, int]]:
    """Yields the matrices of a convolution's groups, ``(groups, m, n)``, and their copies."""
    m, n = operator.m // operator.groups, operator.n // operator.groups
    shape = (operator.in_shape[0] // operator.groups, *operator.in_shape[1:])
    eye = torch.eye(n, dtype=torch.float64, device=operator.device).reshape(n, 1, *shape)
    kernels = operator.weight.reshape(operator.groups, -1, *operator.weight.shape[1:])
    by_copies: dict[int, list[int]] = {}
    for group, copies in _different_groups(operator):
        by_copies.setdefault(copies, []).append(group)
    size = max(1, _CHUNK // (m * n))
    for copies, numbers in by_copies.items():
        for start in range(0, len(numbers), size):
            chosen = numbers[start : start + size]
            several = Convolution(
                kernels[chosen].flatten(0, 1).to(torch.float64),
                (len(chosen) * shape[0], *shape[1:]),
                stride=operator.stride,
                padding=operator.padding,
                dilation=operator.dilation,
                groups=len(chosen),
            )
            images = several.matvec(eye.expand(n, len(chosen), *shape).flatten(1, 2))
            yield images.reshape(n, len(chosen), m).permute(1, 2, 0), copies


def _by_band(operator: Convolution, k: int) -> Spectrum | None:
    # Proofs first: values cost more, and are for nothing where a later group has no proof.
    if k and operator.groups > 1 and _by_band(operator, 0) is None:
        return None
    per_group = operator.out_shape[0] // operator.groups
    shape = (operator.in_shape[0] // operator.groups, *operator.in_shape[1:])
    proofs = []
    for group, copies in _different_groups(operator):
        kernel = operator.weight[group * per_group : (group + 1) * per_group]
        if not bool(kernel.any()):
            continue
        single = Convolution(
            kernel.to(torch.float64),
            shape,
            stride=operator.stride,
            padding=operator.padding,
            dilation=operator.dilation,
        )
        proof = from_convolution(single, k)
        if proof is None:
            return None
        proofs.append((proof, copies))
    return combined(proofs, k, operator.shape)


def _by_windows(operator: Convolution) -> Spectrum | None:
    groups = windows(operator, values=True)
    if groups is None:
        return None
    note = "rank proven window by window; singular values not computed: the windows overlap"
    free = free_inputs(groups, operator.n, operator.dtype)
    if free is not None:
        return Spectrum(rank=operator.n - int(free.sum()), note=note)
    rank = full_row_rank(groups, operator.n, operator.dtype)
    return None if rank is None else Spectrum(rank=rank, note=note)
