"""How an operator falls apart into windows: small matrices, each repeated over many places.

A convolution applies one small matrix to every window of the input; a linear layer on tokens
applies one to every token; a stack of them does all of it. Windows may overlap here. Where they
do not, null spaces follow (``blocks``); where they do, something can still be proved
(``certificates``).

    groups = windows(operator)      # None when the operator has no such form
    groups[0].matrix                # (p, q)
    groups[0].columns               # (L, q): which inputs each of the L windows reads
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Product, Repeated, Stack
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.spaces.entries import EntryMap, entry_map

__all__ = ["WindowGroup", "windows"]

MAX_PATTERNS = 4096
"""More different windows than this are not structure any more."""


@dataclass(frozen=True, eq=False)
class WindowGroup:
    """One small matrix applied at many places: ``y[rows[l]] += matrix @ x[columns[l]]``.

    Attributes:
        matrix: Shape ``(p, q)``, float64.
        columns: Flat input positions, shape ``(L, q)``, int64, distinct within a window.
        rows: Flat output positions, shape ``(L, p)``, int64, distinct altogether.
    """

    matrix: Tensor
    columns: Tensor
    rows: Tensor


def windows(operator: LinearOperator) -> tuple[WindowGroup, ...] | None:
    """Splits an operator into windows, up to an injective map on the left.

    Factors on the left that only scale outputs, or throw some away, are reduced to the choice of
    rows, so the windows have the null space of the operator but not always its values.

    Returns:
        Groups whose rows together are the outputs; None when the operator has no such form.
    """
    factors = list(_factors(operator))
    while len(factors) > 1 and factors[0].is_injective:
        factors.pop(0)
    reads = _identity(operator)
    while factors and (moved := entry_map(factors[-1])) is not None:
        reads = moved.after(reads)
        factors.pop()
    if not factors:
        return _single_entries(reads)
    kept: Tensor | None = None
    while len(factors) > 1 and (moved := entry_map(factors[0])) is not None:
        kept = moved.source if kept is None else moved.read(kept)[0]
        factors.pop(0)
    if len(factors) > 1 or (groups := _core(factors[0])) is None:
        return None
    if kept is not None:
        groups = _restrict_rows(groups, kept, factors[0].m)
    return _rename_columns(groups, reads)


def _factors(operator: LinearOperator) -> Sequence[LinearOperator]:
    if not isinstance(operator, Product):
        return [operator]
    return [inner for factor in operator.factors for inner in _factors(factor)]


def _identity(operator: LinearOperator) -> EntryMap:
    source = torch.arange(operator.n, device=operator.device)
    return EntryMap(source, torch.ones(operator.n, dtype=torch.float64, device=operator.device))


def _single_entries(reads: EntryMap) -> tuple[WindowGroup, ...]:
    """An operator that only moves entries: each input it reads is a window of its own."""
    read = reads.source[reads.source >= 0].unique().unsqueeze(1)
    one = torch.ones(1, 1, dtype=torch.float64, device=read.device)
    rows = torch.arange(len(read), device=read.device).unsqueeze(1)
    return (WindowGroup(one, read, rows),) if len(read) else ()


def _core(operator: LinearOperator) -> tuple[WindowGroup, ...] | None:
    if isinstance(operator, Dense):
        m, n = operator.shape
        place = {"device": operator.device}
        columns, rows = torch.arange(n, **place), torch.arange(m, **place)
        matrix = operator.matrix.to(torch.float64)
        return (WindowGroup(matrix, columns.unsqueeze(0), rows.unsqueeze(0)),)
    if isinstance(operator, Convolution):
        return _convolution(operator)
    if isinstance(operator, Repeated):
        return _repeated(operator)
    if isinstance(operator, Stack):
        return _stacked(operator)
    return None


def _convolution(operator: Convolution) -> tuple[WindowGroup, ...] | None:
    """Lists the windows of a convolution; taps that fall on the padding are left out."""
    place = operator.device
    channels, *sizes = operator.in_shape
    grid = operator.out_shape[1:]
    position = torch.zeros((1,) * (2 * len(sizes)), dtype=torch.int64, device=place)
    inside = torch.ones_like(position, dtype=torch.bool)
    for axis, size in enumerate(sizes):
        starts = torch.arange(grid[axis], device=place) * operator.stride[axis]
        taps = torch.arange(operator.kernel[axis], device=place) * operator.dilation[axis]
        at = starts[:, None] + taps[None, :] - operator.padding[axis][0]
        view = [1] * (2 * len(sizes))
        view[axis], view[len(sizes) + axis] = at.shape
        position = position * size + at.reshape(view)
        inside = inside & ((at >= 0) & (at < size)).reshape(view)
    pixels = math.prod(sizes)
    taps_in = torch.where(inside, position, -1).reshape(math.prod(grid), -1)
    return _channel_groups(operator, taps_in, channels, pixels)


def _channel_groups(
    operator: Convolution, taps: Tensor, channels: int, pixels: int
) -> tuple[WindowGroup, ...] | None:
    per_group = channels // operator.groups
    out_per_group = operator.out_shape[0] // operator.groups
    count = len(taps)
    spots = torch.arange(count, device=taps.device)
    found: list[WindowGroup] = []
    for group in range(operator.groups):
        offsets = (torch.arange(per_group, device=taps.device) + group * per_group) * pixels
        columns = torch.where(taps[:, None, :] < 0, -1, taps[:, None, :] + offsets[None, :, None])
        outputs = torch.arange(out_per_group, device=taps.device) + group * out_per_group
        rows = spots[:, None] + outputs[None, :] * count
        kernel = operator.weight[group * out_per_group : (group + 1) * out_per_group]
        matrix = kernel.reshape(out_per_group, -1).to(torch.float64)
        split = _split_by_scale(matrix, columns.reshape(count, -1), rows, None)
        if split is None:
            return None
        found += split
    return tuple(found)


def _repeated(operator: Repeated) -> tuple[WindowGroup, ...] | None:
    inner = windows(operator.operator)
    if inner is None:
        return None
    times = math.prod(operator.times)
    copies = torch.arange(times, device=operator.device)[:, None, None]
    n, m = operator.operator.n, operator.operator.m
    return tuple(
        WindowGroup(
            group.matrix,
            (group.columns + copies * n).flatten(0, 1),
            (group.rows + copies * m).flatten(0, 1),
        )
        for group in inner
    )


def _stacked(operator: Stack) -> tuple[WindowGroup, ...] | None:
    numbers = torch.arange(operator.m, device=operator.device)
    if operator.dim is None:
        parts = numbers.split([inner.m for inner in operator.operators])
    else:
        sizes = [inner.out_shape[operator.dim] for inner in operator.operators]
        parts = numbers.reshape(operator.out_shape).split(sizes, dim=operator.dim)
    found: list[WindowGroup] = []
    for inner, part in zip(operator.operators, parts, strict=True):
        groups = windows(inner)
        if groups is None:
            return None
        place = part.reshape(-1)
        found += [WindowGroup(g.matrix, g.columns, place[g.rows]) for g in groups]
    return tuple(found)


def _restrict_rows(
    groups: tuple[WindowGroup, ...], kept: Tensor, m: int
) -> tuple[WindowGroup, ...]:
    """Leaves out the outputs that the factors on the left throw away or multiply by zero."""
    wanted = torch.zeros(m, dtype=torch.bool, device=kept.device)
    wanted[kept[kept >= 0]] = True
    found: list[WindowGroup] = []
    for group in groups:
        patterns, which = wanted[group.rows].unique(dim=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            if bool(pattern.any()):
                here = which == number
                rows = group.rows[here][:, pattern]
                found.append(WindowGroup(group.matrix[pattern], group.columns[here], rows))
    return tuple(found)


def _rename_columns(
    groups: tuple[WindowGroup, ...], reads: EntryMap
) -> tuple[WindowGroup, ...] | None:
    """Writes the windows in terms of the inputs of the factors on the right."""
    found: list[WindowGroup] = []
    for group in groups:
        columns, scale = reads.read(group.columns)
        split = _split_by_scale(group.matrix, columns, group.rows, scale)
        if split is None:
            return None
        found += split
    return tuple(found)


def _split_by_scale(
    matrix: Tensor, columns: Tensor, rows: Tensor, scale: Tensor | None
) -> list[WindowGroup] | None:
    """Groups windows that read the same taps with the same factors, and drops empty taps.

    Args:
        matrix: Shape ``(p, q)``.
        columns: Shape ``(L, q)``; -1 where nothing is read.
        rows: Shape ``(L, p)``.
        scale: Factor of each tap, shape ``(L, q)``; ones if None.

    Returns:
        The groups; None when there are too many, or a window reads an input twice.
    """
    factors = (columns >= 0).to(torch.float64) if scale is None else scale
    if bool((factors == factors[:1]).all()):
        patterns, which = factors[:1], torch.zeros(len(rows), dtype=torch.int64).to(rows.device)
    else:
        patterns, which = factors.unique(dim=0, return_inverse=True)
    if len(patterns) > MAX_PATTERNS:
        return None
    found: list[WindowGroup] = []
    for number, pattern in enumerate(patterns):
        used = pattern != 0
        here = which == number
        picked = columns[here][:, used]
        ordered = picked.sort(dim=1).values
        if bool((ordered[:, 1:] == ordered[:, :-1]).any()):
            return None
        found.append(WindowGroup(matrix[:, used] * pattern[used], picked, rows[here]))
    return found
