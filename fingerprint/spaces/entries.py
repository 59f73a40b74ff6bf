"""Which operators merely move and scale entries, and what becomes of a chain of them.

Reshapes, permutations, padding, selections, gathers and diagonals give each output entry as one
input entry times a number, or as zero. Such factors never change how an operator falls apart
into windows; they only rename and scale what a window reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.normalization import Diagonal
from fingerprint.operators.reshape import Gather, Pad, Permute, Reshape, Select

__all__ = ["EntryMap", "entry_map"]


@dataclass(frozen=True, eq=False)
class EntryMap:
    """``y[i] = scale[i] * x[source[i]]``, or zero where ``source[i]`` is -1.

    Attributes:
        source: Flat input position of each output entry, int64, shape ``(m,)``.
        scale: Its factor, float64, shape ``(m,)``; 0 where the source is -1.
    """

    source: Tensor
    scale: Tensor

    def after(self, first: EntryMap) -> EntryMap:
        """Returns the map that applies ``first`` and then this one."""
        source, scale = first.read(self.source)
        return _zeros_marked(source, scale * self.scale)

    def read(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Returns source and factor of output entries, any shape; -1 stays -1 with factor 0."""
        here = positions.clamp(min=0)
        source = torch.where(positions < 0, positions, self.source[here])
        scale = torch.where(positions < 0, 0.0, self.scale[here])
        return source, scale


def entry_map(operator: LinearOperator) -> EntryMap | None:
    """Returns the operator as a map of entries; None when it mixes them."""
    if isinstance(operator, Diagonal):
        scale = operator.scale.to(torch.float64).expand(operator.in_shape).reshape(-1)
        return _zeros_marked(torch.arange(operator.n, device=scale.device), scale)
    if isinstance(operator, Reshape | Permute | Pad | Select | Gather):
        # Moving the numbers 1..n instead of values shows where each entry comes from; what the
        # operator fills with zeros becomes -1.
        numbers = torch.arange(1, operator.n + 1, device=operator.device)
        source = operator.matvec(numbers.reshape(operator.in_shape)).reshape(-1) - 1
        return EntryMap(source, (source >= 0).to(torch.float64))
    return None


def _zeros_marked(source: Tensor, scale: Tensor) -> EntryMap:
    return EntryMap(torch.where(scale == 0, -1, source), scale)
