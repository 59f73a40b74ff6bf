"""The windows of average pooling: one output each, a product of one small row per axis."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from fingerprint.operators.pooling import Pooling
from fingerprint.spaces.window_group import WindowGroup, distinct

__all__ = ["pooling_windows"]

_AxisKind = tuple[Tensor, Tensor, Tensor]
"""Values ``(k,)``, the positions they stand at ``(L, k)``, and the outputs ``(L,)``."""


def pooling_windows(operator: Pooling) -> tuple[WindowGroup, ...]:
    """Lists the windows of a pooling operator, grouped by equal values."""
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


def _axis_kinds(factor: Tensor) -> list[_AxisKind]:
    """Groups the rows of one axis's matrix by their non-zero values, wherever these stand."""
    width = int((factor != 0).sum(dim=1).max())
    places = torch.argsort((factor == 0).to(torch.int8), dim=1, stable=True)[:, :width]
    patterns, which = distinct(torch.gather(factor, 1, places))
    kinds = []
    for number, pattern in enumerate(patterns):
        used = pattern != 0
        outputs = (which == number).nonzero().squeeze(1)
        kinds.append((pattern[used], places[outputs][:, used], outputs))
    return kinds
