"""Where the margin comes from: how far independent models fall below a harm ratio of one.

Independent models answer harmless inputs about as strongly as the same inputs turned; two networks
trained on the same data share some of what they ignore, so their ratio is a little below one.
The margin m₀ is the ratio below which independent models do not fall::

    margin = margin_from([0.93, 0.64, 1.02])
    margin.value, margin.source, margin.floor    # 0.64, "registry", 0.25

Each candidate has its own, for it is a property of the source: how much of what it ignores is
mere function, which others that do the same task ignore too. It starts from a default and is
lowered by whatever is known of this source: the ratios of other, independent models that were
asked its probes, and of decoys made at its registration. It is never raised: a handful of models
far above the default shows little of the tail below it.

Given the source, the models asked its probes are the exchangeable units. If a suspect is
exchangeable with the n that were asked, it undercuts their smallest ratio with probability at
most 1/(n+1), whatever the distribution (split conformal). Pairs pooled over sources would not
carry this: pairs that share a model move together, and one source with an undeclared copy would
set the margin of all. A margin no higher than the smallest ratio carries the guarantee at any n,
and the default has to carry what n is too small to say; a source nobody was asked about rests on
it alone. 1/(n+1) speaks of one candidate: over several, false claims add up.

What is known of models may only weaken claims of descent. The bound that a verdict of
independent needs is that of the default margin, whatever the candidate's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["DEFAULT_MARGIN", "LEAST_MARGIN", "Margin", "margin_from"]

DEFAULT_MARGIN = 0.7
"""With 0.8 one of 514 independent pairs of the detection benchmark was called derived; the lowest
ratios there are a little above 0.65, of shallow convolutional networks."""
LEAST_MARGIN = 0.1
"""Margin below which a ratio says nothing of descent. Networks that learned to imitate a small
perceptron on noise reach 0.3 on its probes; copies of it that were only rounded, pruned or gently
fine-tuned still lie at 0.02 to 0.2, so that a test against 0.28 tells many of them apart. Where
models that count as independent fall below 0.1, such copies lie among them: either kinship was
not declared, or these models ignore the same perturbations."""
_BELOW_DECOYS = 0.7
"""What is left of a decoy's ratio as margin, where it falls below the default at all. Such a
decoy shows that some of what its source ignores is mere function; how much of it strangers
share, it does not show. Perceptrons trained on the same digits fell to 0.69 of their decoys."""


@dataclass(frozen=True)
class Margin:
    """The margin of one candidate.

    Attributes:
        value: m₀, the smallest of the default and the ratios known of independent models.
        source: What it was taken from: ``default``, ``registry`` (independent pairs of
            the candidate and another model) or ``decoys`` (stand-ins for independent models
            made when the candidate was registered).
        pairs: How many independent models were asked the candidate's probes.
        floor: The false-positive rate that these models can vouch for by themselves:
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

        The default margin, whatever this one is: a lower margin forbids claims of descent and
        permits none of independence.
        """
        return DEFAULT_MARGIN


def margin_from(pair_ratios: Sequence[float], decoy_ratios: Iterable[float | None] = ()) -> Margin:
    """Chooses the margin of one candidate.

    Args:
        pair_ratios: Harm ratios of the candidate's probes on independent models that they were
            not screened against, one for each model. Kin among those models are not
            exchangeable with a stranger: give one ratio, their lowest, for all of them.
        decoy_ratios: Harm ratios of the candidate's probes on decoys, as its fingerprint
            records them. Below the default they lower the margin, to 0.7 of the smallest; they
            vouch for no rate, for nobody knows how far a decoy is exchangeable with a
            stranger's model.

    Returns:
        The smallest of the default and the ratios; what is missing, NaN, infinite or negative
        is left out.
    """
    pairs, decoys = _finite(pair_ratios), _finite(decoy_ratios)
    known = [(DEFAULT_MARGIN, "default")]
    known += [(ratio, "registry") for ratio in pairs]
    known += [(_BELOW_DECOYS * ratio, "decoys") for ratio in decoys if ratio < DEFAULT_MARGIN]
    value, source = min(known, key=lambda entry: entry[0])
    return Margin(value, source, pairs=len(pairs), floor=1 / (len(pairs) + 1))


def _finite(ratios: Iterable[float | None]) -> list[float]:
    given = [float(ratio) for ratio in ratios if ratio is not None]
    return [ratio for ratio in given if math.isfinite(ratio) and ratio >= 0]
