"""Where the margin comes from: how far independent models fall below a harm ratio of one.

Independent models answer harmless inputs about as strongly as the same inputs turned; two networks
trained on the same data share some of what they ignore, so their ratio is a little below one.
The margin m₀ is the ratio below which independent models do not fall::

    calibration = Calibration(ratios={"ours": [PairRatio("harm_ratio", None, "logits", 0.64)]})
    margin = calibration.margin("ours", fingerprint, test="harm_ratio", depth="network",
                                answer_kind="logits")
    margin.value, margin.source, margin.floor    # 0.64, "registry", 0.5

Each candidate has its own, for it is a property of the source: how much of what it ignores is
mere function, which others that do the same task ignore too. It starts from a default and is
lowered by whatever is known of this source: the ratios of other, independent models that were
asked its probes, and of surrogates that old fingerprints were made with. It is never raised: a
handful of models far above the default shows little of the tail below it.

Given the source, the models asked its probes are the exchangeable units. If a suspect is
exchangeable with the n that were asked, it undercuts their smallest ratio with probability at
most 1/(n+1), whatever the distribution (split conformal). Pairs pooled over sources would not
carry this: pairs that share a model move together, and one source with an undeclared copy would
set the margin of all. A margin no higher than the smallest ratio carries the guarantee at any n,
and the default has to carry what n is too small to say; a source nobody was asked about rests on
it alone. 1/(n+1) speaks of one candidate: over several, false claims add up.

Margins are kept apart by test, by depth and by kind of answer. A pair that was measured on
logits counts for kinds that say less as well, and so does one whose depth nobody noted: to leave
it out would raise a margin.

A verdict of independent has a bound of its own, which must lie above what kin reach. What is
known of strangers does not move it: it may only weaken claims of descent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fingerprint.probes.turns import control_groups, is_large, on_the_grid

if TYPE_CHECKING:
    from fingerprint.probes.probe import DepthFacts, Fingerprint

__all__ = [
    "BOUNDS",
    "DEFAULT_MARGIN",
    "EARLY",
    "LARGE_BOUNDS",
    "LARGE_MARGINS",
    "LEAST_MARGIN",
    "MARGINS",
    "NEARLY_LINEAR",
    "Calibration",
    "Margin",
    "PairRatio",
    "depth_class",
    "margin_from",
]

DEFAULT_MARGIN = 0.7
"""With 0.8 one of 514 independent pairs of the detection benchmark was called derived; the lowest
ratios there are a little above 0.65, of shallow convolutional networks."""
INDEPENDENT_BOUND = 0.7
"""Copies of the detection benchmark that reach higher than this have little left to find: pruned
to a ruin, or trained further until they answer as another network does."""
EARLY = 0.5
"""Share of a pass up to which a depth is early: what lies before it, fine-tuning moves little."""
MARGINS: Mapping[str, Mapping[str, float]] = {
    "linear": {"logits": 0.5, "probabilities": 0.5, "top-k": 0.5, "labels": 0.5},
    "early": {"logits": 0.4, "probabilities": 0.4, "top-k": 0.4, "labels": 0.4},
    "late": {"logits": 0.5, "probabilities": 0.5, "top-k": 0.4, "labels": 0.4},
    "individual": {"logits": 0.35, "probabilities": 0.35, "top-k": 0.35, "labels": 0.35},
}
"""Default margins by class of depth and kind of answer: the lowest ratio of any stranger in the
detection benchmark's settings half, to the nearest multiple of 0.05, in the exact null space and
early 0.5 at most. Labels have no interval; they take the margin of the named classes.
``benchmarks.detection.calibrate`` prints them with the pairs they rest on. Of individual probes it
is what is left where the nearest relative reacts to them as to their turns."""
LARGE_MARGINS: Mapping[str, Mapping[str, float]] = {
    "on the grid": {"logits": 0.5, "probabilities": 0.5, "top-k": 0.45, "labels": 0.45},
    "both kinds": {"logits": 0.4, "probabilities": 0.4, "top-k": 0.35, "labels": 0.35},
    "one kind": {"logits": 0.3, "probabilities": 0.3, "top-k": 0.25, "labels": 0.25},
}
"""Margins of linear and early probes of large inputs, by what their controls are: turns that stay
on the grid, turns of both kinds that leave it, each a group of its own, or turns of one kind. Off
the grid it is the lowest ratio of any stranger among published networks of 224 pixels and what
became of them, to the nearest multiple of 0.05 (``benchmarks.detection.large``); with turns of one
kind a network pruned by 30 % in each layer came as near to another, for it reacts to patterns along
one axis more than along the other, and all controls exchanged the axes. On the grid, where
strangers stay farther, it is what held up to 64 pixels for probes that were solved once. Between 32
and 224 pixels nothing was tried."""
BOUNDS: Mapping[str, Mapping[str, float]] = {
    "linear": {"logits": 0.55, "probabilities": 0.55, "top-k": 0.55, "labels": 0.55},
    "early": {"logits": 0.5, "probabilities": 0.5, "top-k": 0.5, "labels": 0.5},
}
"""Ratios above which an interval must lie for *independent*, where a depth can say so: the margin,
or where higher the least multiple of 0.05 above which no interval of a copy lay that keeps half of
its source's accuracy; 0.5 at least, for a fine-tune for another task was *independent* at 0.4."""
LARGE_BOUNDS: Mapping[str, float] = {
    "logits": 0.5,
    "probabilities": 0.5,
    "top-k": 0.55,
    "labels": 0.55,
}
"""The least that these are for large inputs, whose copies come farther."""
_OVER_COPY = 1.5
"""Margin of individual probes, as a multiple of what a roughly pruned copy reaches. A sibling
that learned the same from other pictures comes near its sibling where learning is much the same
whatever the pictures: to 0.25 of the plain convolutional network in the detection benchmark's
settings half, where that copy reaches 0.12."""
_UNMEASURED = 0.2
"""Margin of individual probes where nobody knows what a pruned copy reaches: a step of 0.05 below
the lowest ratio of any sibling in the settings half."""
_BELOW_RELATIVES = 0.35
"""Margin of individual probes, as a share of what they do to the nearest relative they avoid, with
the running statistics of the source or without, and with its head. Siblings that learn gently
learn much the same, whatever the pictures: a sibling of the settings half came to 0.41 of that in
one of two runs, all others to 0.52 and more (``benchmarks.families``, ``benchmarks.gentle``)."""
_OVER_SOURCE = 1.5
"""Bound of *independent*, as a multiple of what a depth's probes do to their own source: where they
were solved badly, kin lie above the usual bound. Usual are 0.05 to 0.25; small networks on digits
reach 0.36."""
_SOURCE_AT_MOST = 0.4
"""Ratio on the source above which a depth says nothing of *independent*. A fine-tune of
EfficientNet-Lite0 was moved at 0.48 by its own early probes, and what was trained on from it at
1.17."""
NEARLY_LINEAR = 0.7
"""Linearity from which a margin shrinks, to nothing at 1."""
LEAST_MARGIN = 0.1
"""Margin below which a ratio says nothing of descent. Networks that learned to imitate a small
perceptron on noise reach 0.3 on its probes; copies of it that were only rounded, pruned or gently
fine-tuned still lie at 0.02 to 0.2, so that a test against 0.28 tells many of them apart. Where
models that count as independent fall below 0.1, such copies lie among them: either kinship was
not declared, or these models ignore the same perturbations."""
_BELOW_SURROGATES = 0.7
"""What is left of a surrogate's ratio as margin, where it falls below the default at all. Such a
network shows that some of what its source ignores is mere function; how much of it strangers
share, it does not show. Perceptrons trained on the same digits fell to 0.69 of theirs."""
_SAYS = {"logits": 3, "probabilities": 3, "top-k": 2, "labels": 1}
"""How much an answer says; softmax takes nothing away that a distance would see."""


@dataclass(frozen=True)
class Margin:
    """What one finding about one candidate is held against.

    Attributes:
        value: m₀, the smallest of the default and the ratios known of independent models.
        source: What it was taken from: ``default``, ``registry`` (independent pairs of the
            candidate and another model), ``linearity`` (the candidate is nearly linear),
            ``copies`` (what a pruned copy of the candidate reaches on its individual probes),
            ``relatives`` (what those do to the relatives they were made to avoid),
            ``surrogates`` (stand-ins for independent models that old fingerprints were made with),
            ``references`` (what models that did not choose the pictures reach on them) or ``fixed``
            (the same for all models).
        pairs: How many independent models were asked the candidate's probes.
        floor: The false-positive rate that these models can vouch for by themselves:
            ``1 / (pairs + 1)``.
        bound: Ratio above which an interval must lie for a verdict of independent.
    """

    value: float = DEFAULT_MARGIN
    source: str = "default"
    pairs: int = 0
    floor: float = 1.0
    bound: float = INDEPENDENT_BOUND

    def of_linear(self, linearity: float) -> Margin:
        """Returns the margin of a source that is nearly linear in its input.

        What such a model ignores is mere function: any other that learned the same task ignores it
        as well. Perceptrons on digits have a linearity of 0.97 and strangers among them fall to
        0.24; transformers of 0.6 and convolutional networks of less do not come near each other.

        Args:
            linearity: Of the source, from its own answers to the panel's negatives.
        """
        left = min(1.0, max(0.0, (1.0 - linearity) / (1.0 - NEARLY_LINEAR)))
        if left == 1.0:
            return self
        return replace(self, value=self.value * left, source="linearity")

    def of_copies(self, ratio: float | None) -> Margin:
        """Returns the margin of individual probes that hardly move a pruned copy of their source.

        How far a sibling stays from its sibling nobody can know at registration; how near a copy
        comes can be measured, and a claim needs no more room than copies take.

        Args:
            ratio: What the probes did to that copy; None where nobody measured it, or the copy
                died of it.
        """
        room = _UNMEASURED if ratio is None else max(LEAST_MARGIN, _OVER_COPY * ratio)
        return replace(self, value=room, source="copies") if room < self.value else self

    def of_relatives(self, ratio: float | None) -> Margin:
        """Returns the margin of individual probes that move the nearest relative so much.

        Who learned hardly anything cannot be told from its siblings: the margin is not usable.

        Args:
            ratio: What the probes did to that relative; None where nobody noted it.
        """
        room = math.inf if ratio is None else _BELOW_RELATIVES * ratio
        return replace(self, value=room, source="relatives") if room < self.value else self

    def of_source(self, ratio: float) -> Margin:
        """Returns the margin of probes that do so much to their own source, a harm ratio."""
        least = math.inf if ratio > _SOURCE_AT_MOST else _OVER_SOURCE * ratio
        return replace(self, bound=max(self.bound, least))

    @property
    def usable(self) -> bool:
        """Whether a ratio below the margin may be called descent."""
        return self.value >= LEAST_MARGIN

    @property
    def tested(self) -> float:
        """Ratio that tests are made at; an unusable margin has none."""
        return max(self.value, LEAST_MARGIN)


@dataclass(frozen=True)
class PairRatio:
    """What a candidate's probes did to one independent model that was asked them.

    Attributes:
        test: The test that measured it, such as ``harm_ratio``.
        depth: Whose probes, such as ``network``; None where nobody noted it.
        answer_kind: What the answers were.
        ratio: The statistic.
    """

    test: str
    depth: str | None
    answer_kind: str
    ratio: float


@dataclass(frozen=True)
class Calibration:
    """What is known of independent models, by candidate.

    Attributes:
        ratios: By candidate, what its probes did to independent registered models that they
            were not screened against. Kin among those models are not exchangeable with a
            stranger: give one ratio, their lowest, for all of them.
    """

    ratios: Mapping[str, Sequence[PairRatio]] = field(default_factory=dict)

    def margin(
        self, name: str, fingerprint: Fingerprint, *, test: str, depth: str, answer_kind: str
    ) -> Margin:
        """Chooses the margin of one finding about one candidate.

        Args:
            name: The candidate; one that nothing is known of has the default.
            fingerprint: It records what its surrogates did.
            test: The test.
            depth: Whose probes.
            answer_kind: What the suspect's answers are.
        """
        pairs = [
            pair.ratio
            for pair in self.ratios.get(name, ())
            if pair.test == test
            and pair.depth in (None, depth)
            and _SAYS.get(pair.answer_kind, 0) >= _SAYS[answer_kind]
        ]
        value, bound = _defaults(fingerprint, depth, answer_kind)
        return margin_from(pairs, fingerprint.surrogate_ratios, default=value, bound=bound)


def depth_class(depth: DepthFacts) -> str:
    """Returns the class of a depth's margins: ``linear``, ``early``, ``late`` or ``individual``.

    Linear probes are exact and lie before everything that is trained to classes; early ones are
    solved, up to half of a pass.
    """
    if depth.speaks_for == "individual":
        return "individual"
    if depth.share == 0.0:
        return "linear"
    return "early" if depth.share <= EARLY else "late"


def _defaults(fingerprint: Fingerprint, depth: str, answer_kind: str) -> tuple[float, float]:
    """Returns the default margin of a depth, and the bound of *independent*.

    Late and individual probes do not tell kin from strangers by a high ratio: copies that were
    trained further reach it as well. So they say nothing of independence where an early depth can.
    """
    known = {one.name: depth_class(one) for one in fingerprint.depths}
    if depth not in known:
        return DEFAULT_MARGIN, INDEPENDENT_BOUND
    group = known[depth]
    if group not in BOUNDS:
        alone = group == "late" and not set(known.values()) & set(BOUNDS)
        return MARGINS[group][answer_kind], INDEPENDENT_BOUND if alone else math.inf
    margin, bound = MARGINS[group][answer_kind], BOUNDS[group][answer_kind]
    if is_large(fingerprint.input.shape):
        margin, bound = _of_large(fingerprint)[answer_kind], max(bound, LARGE_BOUNDS[answer_kind])
    return margin, bound


def _of_large(fingerprint: Fingerprint) -> Mapping[str, float]:
    """Returns the margins of large inputs, by what the controls are."""
    shape, turns = fingerprint.input.shape, fingerprint.turns
    if on_the_grid(shape, turns):
        return LARGE_MARGINS["on the grid"]
    return LARGE_MARGINS["both kinds" if len(control_groups(shape, turns)) > 1 else "one kind"]


def margin_from(
    pair_ratios: Iterable[float],
    surrogate_ratios: Iterable[float | None] = (),
    *,
    default: float = DEFAULT_MARGIN,
    bound: float = INDEPENDENT_BOUND,
) -> Margin:
    """Chooses a margin by what is known of independent models.

    Args:
        pair_ratios: What a candidate's probes did to independent models, one for each.
        surrogate_ratios: What they did to its surrogates. Below the default they lower the
            margin, to 0.7 of the smallest; they vouch for no rate, for nobody knows how far a
            surrogate is exchangeable with a stranger's model.
        default: What the margin is where nothing is known.
        bound: Ratio above which an interval must lie for *independent*.

    Returns:
        The smallest of the default and the ratios; what is missing, NaN, infinite or negative
        is left out.
    """
    pairs, surrogates = _ratios(pair_ratios), _ratios(surrogate_ratios)
    known = [(default, "default")]
    known += [(ratio, "registry") for ratio in pairs]
    known += [(_BELOW_SURROGATES * ratio, "surrogates") for ratio in surrogates if ratio < default]
    value, source = min(known, key=lambda entry: entry[0])
    return Margin(value, source, pairs=len(pairs), floor=1 / (len(pairs) + 1), bound=bound)


def _ratios(ratios: Iterable[Any]) -> list[float]:
    given = [float(ratio) for ratio in ratios if ratio is not None]
    return [ratio for ratio in given if math.isfinite(ratio) and ratio >= 0]
