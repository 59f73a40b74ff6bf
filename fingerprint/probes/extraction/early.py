"""The kind of the early probes: what the pilot chose, with all that it may cost."""

from __future__ import annotations

from collections.abc import Sequence

from fingerprint.network.depths import Depth
from fingerprint.operators.base import LinearOperator
from fingerprint.probes.harmless_spaces import HarmlessSpaces
from fingerprint.probes.kinds import FeatureProbes, LinearProbes, ProbeKind
from fingerprint.probes.simulated import copies_of
from fingerprint.probes.turns import is_large

__all__ = ["early_kind"]


def early_kind(
    best: ProbeKind | None,
    depths: Sequence[Depth],
    spaces: HarmlessSpaces,
    others: Sequence[LinearOperator],
    seed: str,
) -> ProbeKind | None:
    """Returns the kind that the pilot chose, with all that it may cost."""
    if isinstance(best, FeatureProbes):
        copies, earlier = copies_of(best.depth, seed), _before(best.depth, depths)
        return FeatureProbes(best.depth, contrast=best.contrast, copies=copies, earlier=earlier)
    if isinstance(best, LinearProbes) and spaces.space is not None:
        input = depths[-1].input
        return LinearProbes(spaces.space, input, contrast=best.contrast, others=others)
    return None


def _before(chosen: Depth, depths: Sequence[Depth]) -> tuple[Depth, ...]:
    """Returns the depth before the chosen one, of large inputs.

    The parent and the siblings of a fine-tune of 224 pixels come to between a quarter and a half
    of what they come to without it, strangers to as much (``benchmarks.early_probes``). Of smaller
    inputs no kin was found by it that is not found without it, and fewer strangers were ruled out
    (``benchmarks.detection``, settings half).
    """
    if not is_large(chosen.input.shape):
        return ()
    return tuple(depths[: depths.index(chosen)][-1:])
