"""The kind of the early probes: what the pilot chose, with all that it may cost."""

from __future__ import annotations

from collections.abc import Sequence

from fingerprint.network.depths import Depth
from fingerprint.operators.base import LinearOperator
from fingerprint.probes.harmless_spaces import HarmlessSpaces
from fingerprint.probes.kinds import PASSES, WEAK, FeatureProbes, LinearProbes, ProbeKind
from fingerprint.probes.turns import is_large

__all__ = ["early_kind"]

_ENLARGED = 24 / 255
"""Root mean square that they are enlarged to."""
_LEAST_PASSES = 60
"""Passes for each of them at least, weak and enlarged together."""
_WORK = 20.0
"""What they shall cost between, in passes through the whole network."""


def early_kind(
    best: ProbeKind | None,
    depths: Sequence[Depth],
    spaces: HarmlessSpaces,
    others: Sequence[LinearOperator],
) -> ProbeKind | None:
    """Returns the kind that the pilot chose, with all that it may cost.

    Probes of features are solved twice, once weak; those of large inputs are harmless at the depth
    before as well.
    """
    if isinstance(best, FeatureProbes):
        return FeatureProbes(
            best.depth,
            contrast=WEAK,
            earlier=_before(best.depth, depths) if is_large(best.depth.input.shape) else (),
            enlarged=_ENLARGED,
            passes=round(min(PASSES, max(_LEAST_PASSES, _WORK / best.depth.share))),
        )
    if isinstance(best, LinearProbes) and spaces.space is not None:
        input = depths[-1].input
        return LinearProbes(spaces.space, input, contrast=best.contrast, others=others)
    return None


def _before(chosen: Depth, depths: Sequence[Depth]) -> tuple[Depth, ...]:
    """Returns the depth before the chosen one.

    The parent and the siblings of a fine-tune of 224 pixels come to between a quarter and a half
    of what they come to without it, strangers to as much (``benchmarks.early_probes``). Of smaller
    inputs no kin was found by it that is not found without it, and fewer strangers were ruled out
    (``benchmarks.detection``, settings half).
    """
    return tuple(depths[: depths.index(chosen)][-1:])
