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
from dataclasses import replace

import torch

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Product, Repeated, Stack
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.pooling import Pooling
from fingerprint.spaces.convolution_windows import convolution_windows
from fingerprint.spaces.entries import EntryMap, entry_map
from fingerprint.spaces.pooling_windows import pooling_windows
from fingerprint.spaces.scaled import Scaled
from fingerprint.spaces.window_group import WindowGroup, distinct, split_by_scale

__all__ = ["windows"]

Windows = tuple[WindowGroup, ...]


def windows(
    operator: LinearOperator, *, values: bool = False, placed: bool = False
) -> Windows | None:
    """Splits an operator into windows, up to an injective map on the left.

    Args:
        operator: Any operator.
        values: Whether norms of outputs must be kept, not only the null space. Injective
            factors on the left are dropped otherwise.
        placed: Whether rows must be positions in the output, for what stands to the left of the
            operator; they are just numbers, all different, otherwise.

    Returns:
        Groups with the null space of the operator and, if asked for, ``‖A x‖`` for every ``x``;
        None when the operator has no such form.
    """
    factors = list(_factors(operator))
    while len(factors) > 1 and not placed and _keeps(factors[0], values):
        factors.pop(0)
    reads: EntryMap | None = None
    while len(factors) > 1 and (moved := entry_map(factors[-1])) is not None:
        reads = moved if reads is None else moved.after(reads)
        factors.pop()
    kept: EntryMap | None = None
    while len(factors) > 1 and (moved := entry_map(factors[0])) is not None:
        kept = moved if kept is None else kept.after(moved)
        factors.pop(0)
    groups = _core(factors[0], values, placed or kept is not None) if len(factors) == 1 else None
    if groups is not None and kept is not None:
        groups = _weigh_rows(groups, kept, factors[0].m, values)
        groups = _move_rows(groups, kept, factors[0].m) if placed else groups
    if groups is None:
        return None
    return groups if reads is None else _rename_columns(groups, reads)


def _keeps(factor: LinearOperator, values: bool) -> bool:
    return factor.is_orthogonal if values else factor.is_injective


def _factors(operator: LinearOperator) -> Sequence[LinearOperator]:
    if not isinstance(operator, Product):
        return [operator]
    return [inner for factor in operator.factors for inner in _factors(factor)]


def _core(operator: LinearOperator, values: bool, placed: bool) -> Windows | None:
    if isinstance(operator, Dense):
        m, n = operator.shape
        columns = torch.arange(n, device=operator.device)
        rows = torch.arange(m, device=operator.device)
        matrix = operator.matrix.to(torch.float64)
        return (WindowGroup(matrix, columns.unsqueeze(0), rows.unsqueeze(0)),)
    if isinstance(operator, Convolution):
        return convolution_windows(operator)
    if isinstance(operator, Pooling):
        return pooling_windows(operator)
    if isinstance(operator, Repeated):
        return _repeated(operator, values, placed)
    if isinstance(operator, Stack):
        return _stacked(operator, values, placed)
    if isinstance(operator, Scaled):
        inner = windows(operator.operator, values=values, placed=placed)
        return inner and tuple(replace(g, matrix=g.matrix * operator.factor) for g in inner)
    if (moved := entry_map(operator)) is not None:
        entries = _entries(operator.n, moved, values)
        return _move_rows(entries, moved, operator.n) if placed else entries
    return None


def _entries(n: int, moved: EntryMap, values: bool) -> Windows:
    """An operator that only moves entries: each input it reads is a window of its own."""
    every = torch.arange(n, device=moved.source.device).unsqueeze(1)
    one = torch.ones(1, 1, dtype=torch.float64, device=every.device)
    return _weigh_rows((WindowGroup(one, every, every),), moved, n, values)


def _repeated(operator: Repeated, values: bool, placed: bool) -> Windows | None:
    inner = windows(operator.operator, values=values, placed=placed)
    if inner is None:
        return None
    times = math.prod(operator.times)
    copies = torch.arange(times, device=operator.device)[:, None, None]
    n, m = operator.operator.n, operator.operator.m if placed else _count(inner)
    return tuple(
        WindowGroup(
            group.matrix,
            (group.columns + copies * n).flatten(0, 1),
            (group.rows + copies * m).flatten(0, 1),
        )
        for group in inner
    )


def _stacked(operator: Stack, values: bool, placed: bool) -> Windows | None:
    numbers = torch.arange(operator.m, device=operator.device)
    if operator.dim is None:
        parts = torch.split(numbers, [inner.m for inner in operator.operators])
    else:
        sizes = [inner.out_shape[operator.dim] for inner in operator.operators]
        parts = torch.split(numbers.reshape(operator.out_shape), sizes, dim=operator.dim)
    found: list[WindowGroup] = []
    for inner, part in zip(operator.operators, parts, strict=True):
        groups = windows(inner, values=values, placed=placed)
        if groups is None:
            return None
        first, place = _count(found), part.reshape(-1)
        found += [
            replace(group, rows=place[group.rows] if placed else group.rows + first)
            for group in groups
        ]
    return tuple(found)


def _count(groups: Sequence[WindowGroup]) -> int:
    """Returns a number above those of all rows."""
    return 1 + max((int(group.rows.max()) for group in groups if group.rows.numel()), default=-1)


def _move_rows(groups: Windows, left: EntryMap, m: int) -> Windows | None:
    """Writes rows that a map of entries kept as positions in its output; None if one is twice."""
    outputs = (left.source >= 0).nonzero()[:, 0]
    sources = left.source[outputs]
    if bool((torch.bincount(sources, minlength=1) > 1).any()):
        return None
    place = torch.full((m,), -1, dtype=torch.int64, device=sources.device)
    place[sources] = outputs
    return tuple(replace(group, rows=place[group.rows]) for group in groups)


def _weigh_rows(groups: Windows, left: EntryMap, m: int, values: bool) -> Windows:
    """Applies a map of entries on the left, and leaves out the outputs that it loses.

    Such a map ``L`` has a diagonal ``LᵀL``, so all that matters of it is one weight per output.
    """
    read = left.source >= 0
    squares = torch.zeros(m, dtype=torch.float64, device=left.source.device)
    squares.index_add_(0, left.source[read], left.scale[read].square())
    weights = squares.sqrt() if values else (squares > 0).to(torch.float64)
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


def _rename_columns(groups: Windows, reads: EntryMap) -> Windows | None:
    """Writes the windows in terms of the inputs of the factors on the right."""
    found: list[WindowGroup] = []
    for group in groups:
        columns, scale = reads.read(group.columns)
        split = split_by_scale(group.matrix, columns, group.rows, scale)
        if split is None:
            return None
        found += split
    return tuple(found)
