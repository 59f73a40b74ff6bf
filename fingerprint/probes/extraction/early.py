"""The kind of the early probes: what the pilot chose, with all that it may cost."""

from __future__ import annotations

from collections.abc import Sequence

from fingerprint.network.depths import Depth
from fingerprint.operators.base import LinearOperator
from fingerprint.probes.harmless_spaces import HarmlessSpaces
from fingerprint.probes.kinds import FeatureProbes, LinearProbes, ProbeKind
from fingerprint.probes.pilot import CONTRASTS_LARGE
from fingerprint.probes.simulated import copies_of
from fingerprint.probes.turns import is_large

__all__ = ["early_kind", "in_full"]

_PASSES_LARGE = 50
"""Passes at most for each probe of a large input, which is solved for the model alone."""


def in_full(best: ProbeKind, depths: Sequence[Depth], spaces: HarmlessSpaces) -> list[ProbeKind]:
    """Returns what the pilot compares next: of large inputs, its depth at each contrast.

    They are solved as the fingerprint's own probes are, so what they show is what those will.
    """
    input = depths[-1].input
    if not is_large(input.shape):
        return []
    if isinstance(best, FeatureProbes):
        depth, before = best.depth, _before(best.depth, depths)
        return [
            FeatureProbes(depth, contrast=contrast, earlier=before, passes=_PASSES_LARGE)
            for contrast in CONTRASTS_LARGE
        ]
    if isinstance(best, LinearProbes) and spaces.space is not None:
        return [LinearProbes(spaces.space, input, contrast=each) for each in CONTRASTS_LARGE]
    return []


def early_kind(
    best: ProbeKind | None,
    depths: Sequence[Depth],
    spaces: HarmlessSpaces,
    others: Sequence[LinearOperator],
    seed: str,
) -> ProbeKind | None:
    """Returns the kind that the pilot chose, with all that it may cost.

    Probes of large inputs are harmless at the depth before, and need no simulated copies.
    """
    if isinstance(best, FeatureProbes):
        if is_large(best.depth.input.shape):
            return best
        return FeatureProbes(best.depth, contrast=best.contrast, copies=copies_of(best.depth, seed))
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
