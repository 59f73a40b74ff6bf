"""Where the margin comes from: how far independent models fall below a harm ratio of one.

Independent models answer harmless inputs about as strongly as their mirror images; two networks
trained on the same data share some of what they ignore, so their ratio is a little below one.
The margin m₀ is the ratio below which independent models do not fall::

    margin = margin_from([0.93, 0.74, 1.02])
    margin.value, margin.source, margin.floor    # 0.74, "registry", 0.25

It starts from a default and is lowered by whatever is known of the case at hand: the ratios of
the registry's own independent pairs, and of decoys made at registration. It is never raised: a
handful of pairs far above the default shows little of the tail below it. If n pairs are
exchangeable with a new one, that one undercuts their smallest ratio with probability at most
1/(n+1), whatever the distribution (split conformal). So a margin no higher than that ratio
carries the guarantee at any n, and the default has to carry what the registry is too small to
say.

What 1/(n+1) does not cover: it speaks of one comparison, not of the smallest of many, and pairs
that share a model are exchangeable with a new pair only as far as no model is odd by itself. A
registry of k independent models has about k²/2 pairs, but a suspect unlike all of them shifts
all its pairs together; for the whole verification against k models, read about 2/(k+1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["DEFAULT_MARGIN", "LEAST_MARGIN", "Margin", "margin_from"]

DEFAULT_MARGIN = 0.8
LEAST_MARGIN = 0.3
"""Margin below which a ratio says nothing of descent. Copies that were only rounded, pruned a
little or fine-tuned gently have ratios up to about 0.3: where pairs that count as independent
fall as low, either kinship was not declared or these models ignore the same perturbations, and
a low ratio has an explanation other than descent."""
_LOWER_BOUND = 0.875


@dataclass(frozen=True)
class Margin:
    """The margin of one candidate.

    Attributes:
        value: m₀, the smallest of the default and all ratios known of independent models.
        source: What it was taken from: ``default``, ``registry`` (independent pairs of
            registered models) or ``decoys`` (stand-ins for independent models made when the
            candidate was registered).
        pairs: How many independent pairs the registry holds.
        floor: The false-positive rate that these pairs can vouch for by themselves:
            ``1 / (pairs + 1)``.
    """

    value: float = DEFAULT_MARGIN
    source: str = "default"
    pairs: int = 0
    floor: float = 1.0

    @property
    def usable(self) -> bool:
        """Whether a harm ratio below the margin may be called descent."""
        return self.value >= LEAST_MARGIN

    @property
    def tested(self) -> float:
        """Ratio that the tests of verification are made at; an unusable margin has none."""
        return max(self.value, LEAST_MARGIN)

    @property
    def lower(self) -> float:
        """Ratio above which an interval must lie for a verdict of independent.

        An unusable margin forbids claims of descent; it permits none of independence, so the
        default's bound applies to it.
        """
        return _LOWER_BOUND * (self.value if self.usable else DEFAULT_MARGIN)


def margin_from(pair_ratios: Sequence[float], decoy_ratios: Iterable[float | None] = ()) -> Margin:
    """Chooses the margin of one candidate.

    Args:
        pair_ratios: Harm ratios of registered models' probes on other, independent registered
            models that the probes were not screened against.
        decoy_ratios: Harm ratios of the candidate's probes on decoys, as its fingerprint
            records them. They can lower the margin; they vouch for no rate, for nobody knows
            how far a decoy is exchangeable with a stranger's model.

    Returns:
        The smallest of the default and the ratios; what is missing, NaN, infinite or negative
        is left out.
    """
    pairs, decoys = _finite(pair_ratios), _finite(decoy_ratios)
    known = [(DEFAULT_MARGIN, "default")]
    known += [(ratio, "registry") for ratio in pairs]
    known += [(ratio, "decoys") for ratio in decoys]
    value, source = min(known, key=lambda entry: entry[0])
    return Margin(value, source, pairs=len(pairs), floor=1 / (len(pairs) + 1))


def _finite(ratios: Iterable[float | None]) -> list[float]:
    given = [float(ratio) for ratio in ratios if ratio is not None]
    return [ratio for ratio in given if math.isfinite(ratio) and ratio >= 0]
