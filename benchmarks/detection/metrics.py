"""How well scores tell related pairs from independent ones, with intervals that can be checked.

Pure functions on arrays; a higher score means "more likely derived".

* **Missing scores.** A method that cannot answer about a related pair has not found it: the pair
  counts with the lowest possible score. About an independent pair it has raised no alarm and has
  set no threshold either: the pair is left out, and :class:`Split` tells how many were.
* **Threshold.** The lowest one that at most ``floor(f n)`` of the n independent scores exceed, one
  for all sources. Below ``n = 1 / f`` that is the largest independent score, and a false-positive
  rate of f is not resolved.
* **Dependence.** Pairs that share a network are no independent draws: a fingerprint that happens
  to be close to one network is close to all its copies. Intervals therefore come from a bootstrap
  that draws *networks*: the sources, and apart from them the base networks the suspects descend
  from, each with replacement; a pair counts as often as both were drawn (the pigeonhole bootstrap
  of Owen, Annals of Applied Statistics 1(2), 2007). Where every draw gives the same value, as at a
  rate of 1, a bootstrap has no width; so the interval given is the hull of it and of the exact
  one that takes pairs as independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

__all__ = [
    "Estimate",
    "Split",
    "auc",
    "auc_estimate",
    "clopper_pearson",
    "clustered_counts",
    "detection_rate",
    "network_weights",
    "pair_weights",
    "split",
    "threshold",
    "upper_bound",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A rate or an AUC with its interval.

    Attributes:
        value: None where nothing was measured.
        low: Lower end; the lowest possible value where nothing was measured.
        high: Upper end; likewise.
        hits: Pairs that count for it, 0 for an AUC.
        total: Pairs it was measured on.
    """

    value: float | None
    low: float
    high: float
    hits: int
    total: int


@dataclass(frozen=True)
class Split:
    """Scores of related and independent pairs, missing ones dealt with.

    Attributes:
        related: Shape ``(r,)``; ``-inf`` where the method could not answer.
        independent: Shape ``(n,)``, finite.
        related_at: Positions of the related pairs in what was split, shape ``(r,)``.
        independent_at: Likewise, shape ``(n,)``.
        unanswered: How many of ``related`` the method could not answer.
        excluded: How many independent pairs were left out for the same reason.
    """

    related: Array
    independent: Array
    related_at: NDArray[np.intp]
    independent_at: NDArray[np.intp]
    unanswered: int
    excluded: int


def split(scores: Sequence[float | None], related: Sequence[bool]) -> Split:
    """Separates scores by relation, missing ones (None or NaN) as the module says.

    Args:
        scores: One a pair.
        related: Whether the suspect of that pair descends from its source.
    """
    values = np.array([math.nan if score is None else score for score in scores], dtype=float)
    mask = np.asarray(related, dtype=bool)
    missing = np.isnan(values)
    related_at, independent_at = np.flatnonzero(mask), np.flatnonzero(~mask & ~missing)
    return Split(
        related=np.where(missing, -np.inf, values)[related_at],
        independent=values[independent_at],
        related_at=related_at,
        independent_at=independent_at,
        unanswered=int((mask & missing).sum()),
        excluded=int((~mask & missing).sum()),
    )


def clopper_pearson(hits: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Computes the exact two-sided interval of a proportion; ``(0, 1)`` for no trials."""
    if total == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, total - hits + 1))
    high = 1.0 if hits == total else float(stats.beta.ppf(1 - tail, hits + 1, total - hits))
    return low, high


def upper_bound(hits: int, total: int, confidence: float = 0.95) -> float:
    """Computes the exact one-sided upper bound of a proportion; 1 for no trials."""
    if hits >= total:
        return 1.0
    return float(stats.beta.ppf(confidence, hits + 1, total - hits))


def network_weights(
    networks: Sequence[str], *, repeats: int = 1000, seed: int = 0
) -> dict[str, Array]:
    """Draws networks with replacement.

    Args:
        networks: Their names; repetitions do not count.
        repeats: Draws.
        seed: Of the draws.

    Returns:
        How often each network was drawn, shape ``(repeats,)``.
    """
    names = sorted(set(networks))
    if not names:
        return {}
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=repeats)
    return dict(zip(names, counts.T.astype(float), strict=True))


def pair_weights(
    scores: Split,
    sources: Sequence[str],
    bases: Sequence[str],
    *,
    repeats: int = 1000,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Draws sources and suspects' base networks, and counts each pair as often as both came.

    Args:
        scores: What :func:`split` returned.
        sources: Source of each pair that was split.
        bases: Base network of each suspect.
        repeats: Draws.
        seed: Of the draws.

    Returns:
        Weights of the related pairs, shape ``(repeats, r)``, and of the independent ones,
        ``(repeats, n)``. A related pair has one network, its source.
    """
    by_source = network_weights(sources, repeats=repeats, seed=seed)
    by_base = network_weights(
        [bases[at] for at in scores.independent_at], repeats=repeats, seed=seed + 1
    )
    related = [by_source[sources[at]] for at in scores.related_at]
    independent = [by_source[sources[at]] * by_base[bases[at]] for at in scores.independent_at]
    return _columns(related, repeats), _columns(independent, repeats)


def _columns(columns: list[Array], rows: int) -> Array:
    return np.stack(columns, axis=1) if columns else np.zeros((rows, 0))


def auc(related: Array, independent: Array) -> float | None:
    """Computes P(related > independent) + P(equal) / 2; None where either is empty."""
    if not len(related) or not len(independent):
        return None
    ones = np.ones((1, len(related))), np.ones((1, len(independent)))
    return float(_weighted_auc(related, independent, *ones)[0])


def auc_estimate(
    related: Array,
    independent: Array,
    weights: tuple[Array, Array] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Computes the AUC with its interval.

    The interval is the hull of the bootstrap's and of Newcombe's score interval (method 5 of
    Statistics in Medicine 25, 2006, 559-573), which has a width at an AUC of 1 too.

    Args:
        related: Scores, shape ``(r,)``; ``-inf`` is a missing one.
        independent: Scores, shape ``(n,)``.
        weights: What :func:`pair_weights` drew; without it pairs are taken as independent.
        confidence: Of the interval.
    """
    value = auc(related, independent)
    if value is None:
        return Estimate(None, 0.0, 1.0, 0, len(related))
    low, high = _newcombe(value, len(related), len(independent), confidence)
    if weights is not None:
        low, high = _hull(low, high, _weighted_auc(related, independent, *weights), confidence)
    return Estimate(value, low, high, 0, len(related))


def _weighted_auc(
    related: Array, independent: Array, related_weights: Array, independent_weights: Array
) -> Array:
    """Computes the AUC of each draw; NaN for a draw without pairs of either kind."""
    order = np.argsort(independent, kind="stable")
    below = np.concatenate(
        [
            np.zeros((len(independent_weights), 1)),
            np.cumsum(independent_weights[:, order], axis=1),
        ],
        axis=1,
    )
    ordered = independent[order]
    left = np.searchsorted(ordered, related, side="left")
    right = np.searchsorted(ordered, related, side="right")
    wins = (related_weights * (below[:, left] + below[:, right])).sum(axis=1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        value: Array = wins / (related_weights.sum(axis=1) * below[:, -1])
    return value


def _newcombe(
    value: float, related: int, independent: int, confidence: float
) -> tuple[float, float]:
    z = float(stats.norm.ppf((1 + confidence) / 2))
    half = (related + independent) / 2 - 1

    def distance(candidate: float) -> float:
        spread = (1 - candidate) / (2 - candidate) + candidate / (1 + candidate)
        variance = candidate * (1 - candidate) * (1 + half * spread) / (related * independent)
        return abs(value - candidate) - z * math.sqrt(max(variance, 0.0))

    # The distance is negative at the estimate and not below zero at the ends of the scale.
    low = 0.0 if value <= 0 else float(optimize.brentq(distance, 0.0, value - 1e-12))
    high = 1.0 if value >= 1 else float(optimize.brentq(distance, value + 1e-12, 1.0))
    return low, high


def _hull(low: float, high: float, draws: Array, confidence: float) -> tuple[float, float]:
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return low, high
    ends = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return min(low, float(ends[0])), max(high, float(ends[1]))


def threshold(independent: Array, rate: float) -> float | None:
    """Chooses the score above which a pair is called related.

    Args:
        independent: Scores of independent pairs, shape ``(n,)``.
        rate: False-positive rate allowed.

    Returns:
        The lowest score that at most ``floor(rate n)`` independent ones exceed; None for no
        scores.
    """
    if not len(independent):
        return None
    return float(_thresholds(independent, np.ones((1, len(independent))), rate)[0])


def _thresholds(independent: Array, weights: Array, rate: float) -> Array:
    """Chooses the threshold of each draw, from ``(repeats, n)`` weights; NaN for an empty draw."""
    order = np.argsort(-independent, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1)
    allowed = np.floor(rate * reached[:, -1:] + 1e-9)
    first = np.argmax(reached > allowed, axis=1)
    return np.where(reached[:, -1] > 0, independent[order][first], np.nan)


def detection_rate(
    related: Array,
    independent: Array,
    rate: float,
    weights: tuple[Array, Array] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Computes the share of related pairs above the threshold, the TPR at a given FPR.

    The interval is the hull of the exact one (Clopper-Pearson) and of the bootstrap over
    networks, in which each draw chooses its own threshold.

    Args:
        related: Scores, shape ``(r,)``; ``-inf`` is a missing one, never found.
        independent: Scores, shape ``(n,)``.
        rate: False-positive rate allowed.
        weights: What :func:`pair_weights` drew; without it pairs are taken as independent.
        confidence: Of the interval.
    """
    chosen = threshold(independent, rate)
    if chosen is None or not len(related):
        return Estimate(None, 0.0, 1.0, 0, len(related))
    hits = int((related > chosen).sum())
    low, high = clopper_pearson(hits, len(related), confidence)
    if weights is not None:
        limits = _thresholds(independent, weights[1], rate)
        found = (weights[0] * (related[None] > limits[:, None])).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = np.where(np.isnan(limits), np.nan, found / weights[0].sum(axis=1))
        low, high = _hull(low, high, draws, confidence)
    return Estimate(hits / len(related), low, high, hits, len(related))


def clustered_counts(wrong: Sequence[bool], clusters: Sequence[object]) -> tuple[int, int]:
    """Counts clusters with at least one wrong pair, and clusters.

    All copies of one network against one source stand or fall together; as one trial each they
    bound how often *a pair of networks* is confused at all.
    """
    bad = {cluster for cluster, is_wrong in zip(clusters, wrong, strict=True) if is_wrong}
    return len(bad), len(set(clusters))
