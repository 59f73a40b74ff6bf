"""One small matrix applied at many places, and how windows that differ are told apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["WindowGroup", "distinct", "split_by_scale"]

MAX_PATTERNS = 4096
"""More different windows than this are not structure any more."""


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


def split_by_scale(
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
        patterns, which = distinct(factors)
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


def distinct(table: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the different rows of a table and, for each row, which of them it is."""
    patterns, which = torch.unique(table, dim=0, return_inverse=True)
    return patterns, which
