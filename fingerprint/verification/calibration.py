"""Where the margin comes from: how far independent models fall below a harm ratio of one.

Independent models answer harmless inputs a little less strongly than controls, because solving
bends the noise; the margin m₀ is the ratio below which they do not fall. A registry that holds
enough independent pairs supplies it (split conformal: the smallest of n exchangeable ratios is
undercut by a new one with probability 1/(n+1)); a smaller one uses the default, measured on the
design's 30 hardest pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["DEFAULT_MARGIN", "Margin", "margin_from"]

DEFAULT_MARGIN = 0.7
LEAST_PAIRS = 39
"""Pairs from which the registry's own margin is taken: a new independent pair then falls below
it with probability at most 1/40."""
_LOWEST = 0.5
_HIGHEST = 0.9


@dataclass(frozen=True)
class Margin:
    """The margin of a verification.

    Attributes:
        value: m₀.
        source: Where it comes from, in words.
    """

    value: float
    source: str


def margin_from(pair_ratios: Sequence[float]) -> Margin:
    """Chooses the margin.

    Args:
        pair_ratios: Harm ratios of registered models' probes on other, independent registered
            models that the probes were not screened against.

    Returns:
        The registry's own margin from ``LEAST_PAIRS`` pairs on, else the default.
    """
    usable = [ratio for ratio in pair_ratios if np.isfinite(ratio) and ratio > 0]
    count = len(usable)
    if count < LEAST_PAIRS:
        return Margin(DEFAULT_MARGIN, f"default ({count} independent pairs in the registry)")
    value = float(np.clip(min(usable), _LOWEST, _HIGHEST))
    return Margin(value, f"registry ({count} independent pairs, floor 1/{count + 1})")
