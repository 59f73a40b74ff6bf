"""How an operator falls apart into windows: small matrices, each repeated over many places.

A convolution applies one small matrix to every window of the input; a linear layer on tokens
applies one to every token; a stack of them does all of it. Windows may overlap here. Where they
do not, null spaces follow (``blocks``); where they do, something can still be proved (``rank``).

    groups = windows(operator)      # None when the operator has no such form
    groups[0].matrix                # (p, q)
    groups[0].columns               # (L, q): which inputs each of the L windows reads
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Repeated, Sum, entry_map, factors_of
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.entries import Entries
from fingerprint.operators.pooling import Pooling

__all__ = ["WindowGroup", "Windows", "distinct", "frobenius_norm", "windows"]

_MAX_PATTERNS = 4096
"""More different windows than this are not structure any more."""

_PROBES = 32
"""Random vectors that an unknown norm is estimated from."""


@dataclass(frozen=True, eq=False)
class WindowGroup:
    """One small matrix applied at many places: ``y[rows[l]] += matrix @ x[columns[l]]``.

    Attributes:
        matrix: Shape ``(p, q)``, float64.
        columns: Flat input positions, shape ``(L, q)``, int64, distinct within a window.
        rows: Numbers of outputs, shape ``(L, p)``, int64, distinct altogether.
    """

    matrix: Tensor
    columns: Tensor
    rows: Tensor


Windows = tuple[WindowGroup, ...]


def windows(operator: LinearOperator, *, values: bool = False) -> Windows | None:
    """Splits an operator into windows, up to an injective map on the left.

    Args:
        operator: Any operator.
        values: Whether norms of outputs must be kept, not only the null space.

    Returns:
        Groups with the null space of the operator and, if asked for, ``‖A x‖`` for every ``x``;
        None when the operator has no such form.
    """
    factors = factors_of(operator)
    while len(factors) > 1 and (factors[0].is_orthogonal if values else factors[0].is_injective):
        factors.pop(0)
    reads: Entries | None = None
    while len(factors) > 1 and (moved := entry_map(factors[-1])) is not None:
        reads = moved if reads is None else moved.after(reads)
        factors.pop()
    kept: Entries | None = None
    while len(factors) > 1 and (moved := entry_map(factors[0])) is not None:
        kept = moved if kept is None else kept.after(moved)
        factors.pop(0)
    groups = _core(factors[0], values) if len(factors) == 1 else None
    if groups is not None and kept is not None:
        # A sum's rows are numbered anew, so what stands behind it cannot tell them apart.
        groups = None if isinstance(factors[0], Sum) else _weigh_rows(groups, kept, values)
    return groups if groups is None or reads is None else _rename_columns(groups, reads)


def frobenius_norm(operator: LinearOperator) -> float:
    """Returns the root of the sum of squares of all entries.

    White noise ``x`` of dimension ``n`` has ``E ‖A x‖² = ‖A‖_F² ‖x‖² / n``. Exact where the
    operator falls apart into windows; else estimated from 32 fixed random vectors, which is
    within about ten per cent and the same at every call.
    """
    groups = windows(operator, values=True)
    if groups is not None:
        return math.sqrt(sum(float(g.matrix.square().sum()) * len(g.columns) for g in groups))
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    for _ in range(_PROBES):
        signs = torch.randint(0, 2, operator.in_shape, generator=generator) * 2 - 1
        answer = operator.matvec(signs.to(operator.device, operator.dtype))
        total += float(answer.to(torch.float64).square().sum())
    return math.sqrt(total / _PROBES)


def distinct(table: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the different rows of a table and, for each row, which of them it is."""
    patterns, which = torch.unique(table, dim=0, return_inverse=True)
    return patterns, which


# ---- each kind of operator ----


def _core(operator: LinearOperator, values: bool) -> Windows | None:
    if isinstance(operator, Dense):
        columns = torch.arange(operator.n, device=operator.device).unsqueeze(0)
        rows = torch.arange(operator.m, device=operator.device).unsqueeze(0)
        return (WindowGroup(operator.matrix.to(torch.float64), columns, rows),)
    if isinstance(operator, Convolution):
        return _of_convolution(operator)
    if isinstance(operator, Pooling):
        return _of_pooling(operator)
    if isinstance(operator, Repeated):
        return _of_repeated(operator, values)
    if isinstance(operator, Sum):
        return _of_stack(operator, values)
    if (moved := entry_map(operator)) is not None:
        # Each input it reads is a window of its own.
        every = torch.arange(operator.n, device=moved.device).unsqueeze(1)
        one = torch.ones(1, 1, dtype=torch.float64, device=every.device)
        return _weigh_rows((WindowGroup(one, every, every),), moved, values)
    return None


def _of_repeated(operator: Repeated, values: bool) -> Windows | None:
    inner = windows(operator.operator, values=values)
    if inner is None:
        return None
    times = math.prod(operator.times)
    copies = torch.arange(times, device=operator.device)[:, None, None]
    rows = _count(inner)
    return tuple(
        WindowGroup(
            group.matrix,
            (group.columns + copies * operator.operator.n).flatten(0, 1),
            (group.rows + copies * rows).flatten(0, 1),
        )
        for group in inner
    )


def _count(groups: Sequence[WindowGroup]) -> int:
    """Returns a number above those of all rows."""
    return 1 + max((int(group.rows.max()) for group in groups if group.rows.numel()), default=-1)


def _of_stack(operator: Sum, values: bool) -> Windows | None:
    if not operator.is_apart:
        return None
    found: list[WindowGroup] = []
    for inner in operator.operators:
        groups = windows(inner, values=values)
        if groups is None:
            return None
        first = _count(found)
        found += [replace(group, rows=group.rows + first) for group in groups]
    return tuple(found)


def _of_convolution(operator: Convolution) -> Windows | None:
    """Lists the windows of a convolution; taps that fall on the padding are left out."""
    place = operator.device
    sizes, grid = operator.in_shape[1:], operator.out_shape[1:]
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
    taps_in = torch.where(inside, position, -1).reshape(math.prod(grid), 1, -1)
    count, pixels = math.prod(grid), math.prod(sizes)
    channels, outputs = (
        total // operator.groups for total in (operator.in_shape[0], operator.out_shape[0])
    )
    spots = torch.arange(count, device=place)
    found: list[WindowGroup] = []
    for group, kernel in enumerate(torch.split(operator.weight, outputs)):
        offsets = (torch.arange(channels, device=place) + group * channels) * pixels
        columns = torch.where(taps_in < 0, -1, taps_in + offsets[None, :, None])
        numbers = torch.arange(outputs, device=place) + group * outputs
        rows = spots[:, None] + numbers[None, :] * count
        matrix = kernel.reshape(outputs, -1).to(torch.float64)
        split = _split_by_scale(matrix, columns.reshape(count, -1), rows, None)
        if split is None:
            return None
        found += split
    return tuple(found)


def _of_pooling(operator: Pooling) -> Windows:
    """Lists the windows of an average: one output each, a product of one small row per axis."""
    axes = len(operator.factors)
    lead = math.prod(operator.in_shape[: len(operator.in_shape) - axes])
    kinds = [_axis_kinds(factor.to(torch.float64)) for factor in operator.factors]
    found = []
    for combination in itertools.product(*kinds):
        values = torch.ones(1, dtype=torch.float64, device=operator.device)
        columns = torch.arange(lead, device=operator.device).unsqueeze(1)
        rows = torch.arange(lead, device=operator.device)
        for (row, places, outputs), factor in zip(combination, operator.factors, strict=True):
            values = (values[:, None] * row).reshape(-1)
            at = columns[:, None, :, None] * factor.shape[1] + places[None, :, None, :]
            columns = at.flatten(2).flatten(0, 1)
            rows = (rows[:, None] * factor.shape[0] + outputs).reshape(-1)
        found.append(WindowGroup(values.unsqueeze(0), columns, rows.unsqueeze(1)))
    return tuple(found)


def _axis_kinds(factor: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Groups the rows of one axis's matrix by their non-zero values, wherever these stand.

    Returns:
        For each kind the values ``(k,)``, their positions ``(L, k)``, and the outputs ``(L,)``.
    """
    width = int((factor != 0).sum(dim=1).max())
    places = torch.argsort((factor == 0).to(torch.int8), dim=1, stable=True)[:, :width]
    patterns, which = distinct(torch.gather(factor, 1, places))
    kinds = []
    for number, pattern in enumerate(patterns):
        used = pattern != 0
        outputs = (which == number).nonzero().squeeze(1)
        kinds.append((pattern[used], places[outputs][:, used], outputs))
    return kinds


# ---- what stands on either side ----


def _weigh_rows(groups: Windows, left: Entries, values: bool) -> Windows:
    """Applies a map of entries on the left, and leaves out the outputs that it loses.

    Such a map ``L`` has a diagonal ``LᵀL``, so all that matters of it is one weight per output.
    """
    weights = left.weights().to(torch.float64)
    weights = weights if values else (weights > 0).to(torch.float64)
    found: list[WindowGroup] = []
    for group in groups:
        patterns, which = distinct(weights[group.rows])
        for number, pattern in enumerate(patterns):
            used = pattern != 0
            if bool(used.any()):
                here = which == number
                matrix = group.matrix[used] * pattern[used].unsqueeze(1)
                found.append(WindowGroup(matrix, group.columns[here], group.rows[here][:, used]))
    return tuple(found)


def _rename_columns(groups: Windows, reads: Entries) -> Windows | None:
    """Writes the windows in terms of the inputs of the factors on the right."""
    found: list[WindowGroup] = []
    for group in groups:
        columns, scale = reads.look_up(group.columns)
        split = _split_by_scale(group.matrix, columns, group.rows, scale.to(torch.float64))
        if split is None:
            return None
        found += split
    return tuple(found)


def _split_by_scale(
    matrix: Tensor, columns: Tensor, rows: Tensor, scale: Tensor | None
) -> Sequence[WindowGroup] | None:
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
        patterns, which = distinct(factors)
    if len(patterns) > _MAX_PATTERNS:
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
