"""Where the margin comes from: how far independent models fall below a harm ratio of one.

Independent models answer harmless inputs about as strongly as their mirror images; two networks
trained on the same data share some of what they ignore, so their ratio is a little below one.
The margin m₀ is the ratio below which independent models do not fall. A registry that holds
enough independent pairs supplies it (split conformal: the smallest of n exchangeable ratios is
undercut by a new one with probability 1/(n+1)); a smaller one uses the default. A suspect is
called independent when its interval lies above a bound somewhat lower than the margin, so that
a strong fine-tune and a close independent model both have a verdict to fall into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["DEFAULT_MARGIN", "Margin", "margin_from"]

DEFAULT_MARGIN = 0.8
LEAST_PAIRS = 39
"""Pairs from which the registry's own margin is taken: a new independent pair then falls below
it with probability at most 1/40."""
_LOWEST = 0.5
_HIGHEST = 0.9
_LOWER_BOUND = 0.875


@dataclass(frozen=True)
class Margin:
    """The margin of a verification.

    Attributes:
        value: m₀.
        source: Where it comes from, in words.
    """

    value: float
    source: str

    @property
    def lower(self) -> float:
        """Ratio above which an interval must lie for a verdict of independent."""
        return _LOWER_BOUND * self.value


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
