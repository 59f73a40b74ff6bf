"""Resemblance: do two models arrange their answers to the panel alike?

::

    found = compare(Panel.of(suspect_answers, "labels"), Panel.of(recorded, "logits"))
    found.value, found.low, found.high      # 1 for equal arrangements, about 0 for strangers
    rank(Panel.of(suspect_answers), {"ours": recorded, ...})    # nearest first

Answers of N inputs become features Y (N, classes) and then a kernel YYᵀ (N, N), which knows no
class by its name: models with other classes compare as well. The statistic is the alignment of
two kernels, a cosine, changed in three ways:

- *Debiased.* Kernels are U-centred (Székely and Rizzo 2014), which makes their product the
  unbiased HSIC of Song et al. (2007). Its mean over all ways to pair the inputs of two models is
  zero, so a small panel does not make strangers look alike.
- *Evened out.* K is replaced by K (K + λI)⁻¹, in which a direction of the answers counts by its
  being there, not by its strength. One direction often carries most of the answers, and it is the
  one that strangers share.
- *Within kinds.* Inputs are compared with those of their own kind. That noise is answered unlike
  other noise, every two networks have in common.

What strangers reach depends on the source. A model that is nearly linear in its input does what
any other does that learned the same task; how nearly, its own answers to the panel's negatives say
(:attr:`Panel.linearity`), and its margin lies above that.

Its interval is a jackknife over inputs: every input is left out in turn, and everything is
computed again.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fingerprint.distances import answered, comparable, named
from fingerprint.evidence.calibration import Calibration, Margin
from fingerprint.evidence.finding import Finding
from fingerprint.network.spec import AnswerKind
from fingerprint.probes.panel import NEGATIVE, panel_kinds

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = [
    "LEAST_ANSWERED",
    "Alignment",
    "Panel",
    "Resemblance",
    "arrangement",
    "compare",
    "conformal_p",
    "paired_difference",
    "rank",
    "rank_models",
    "resemblance_margin",
]

Array = NDArray[np.float64]

LEAST_ANSWERED = 16
"""Answered inputs below which nothing is said."""
_LEAST_OF_A_KIND = 6
_EVENING = 0.1
"""λ, as a share of the mean strength of a direction; 0.03 to 0.3 separate as well."""
_CONSTANT = 1e-10
"""Variance over inputs, as a share of the answers' size squared, below which it is rounding."""
_CHUNK = 256
_CLASSES = (3, 21)
DEFAULT_MARGINS: Mapping[AnswerKind, tuple[float, float, float]] = {
    "logits": (0.5, 0.4, 0.4),
    "probabilities": (0.5, 0.4, 0.4),
    "top-k": (0.5, 0.35, 0.3),
    "labels": (0.5, 0.3, 0.3),
}
"""For two classes, 3 to 20, and more. Where the source is not nearly linear, strangers reach 0.16
with two classes (digits), 0.30 with ten (CIFAR-10, two ResNet-8 trained alike) and 0.07 with 1000
(``benchmarks.panel``); in labels 0.09, 0.20 and 0.07. The last rest on two networks of one family,
so these margins leave them more room."""
_ABOVE_LINEAR = 0.15
"""What a margin lies above the source's linearity: perceptrons that learned the same task reach
0.1 more than it."""
_NO_BOUND = -1.0
"""A low resemblance shows no independence: fine-tunes of large networks with a new head arrange the
panel no more like their source than strangers do."""


@dataclass(frozen=True)
class Alignment:
    """How alike two models arrange their answers, or by how much one of two is nearer.

    Attributes:
        value: The statistic.
        low: Lower end of its confidence interval.
        high: Upper end.
        error: Its standard error over inputs.
        used: How many inputs it rests on.
    """

    value: float
    low: float
    high: float
    error: float
    used: int

    def p_value(self, margin: float) -> float:
        """One-sided p-value, over inputs, of a value of at most ``margin``; at least 2⁻ᴺ."""
        above = self.value - margin
        if self.error == 0.0:
            return 2.0**-self.used if above > 0 else 1.0
        tail = float(stats.t.sf(above / self.error, self.used - 1))
        return max(tail, 2.0**-self.used)


@dataclass(frozen=True, eq=False)
class Panel:
    """A model's answers to a panel, ready to be compared.

    Attributes:
        features: Shape ``(P, classes)``; rows that were not answered are zero.
        there: Which inputs were answered, shape ``(P,)``.
        kinds: Of which kind each input is; inputs are compared within their kind.
    """

    features: Array
    there: NDArray[np.bool_]
    kinds: tuple[str, ...]

    @classmethod
    def of(
        cls,
        answers: NDArray[np.floating],
        kind: AnswerKind = "logits",
        *,
        floor: float | None = None,
        kinds: tuple[str, ...] | None = None,
    ) -> Panel:
        """Turns answers into features.

        Args:
            answers: To all inputs of a panel, shape ``(P, classes)``; NaN where there is none.
            kind: What they are. Of top-k answers, the logarithms of the named probabilities are
                kept, over the mean of what is left for the classes that are not named.
            floor: Least probability told from zero.
            kinds: Of which kind each input is; those of :func:`panel_inputs` if omitted.
        """
        there = answered(answers, kind)
        rows = np.where(there[:, None], np.asarray(answers, dtype=np.float64), 1.0)
        if kind == "top-k":
            features = _named_over_rest(rows)
        else:
            features = comparable(rows, kind, floor=floor)
        kinds = panel_kinds(len(there)) if kinds is None else kinds
        return cls(np.where(there[:, None], features, 0.0), there, kinds)

    @property
    def linearity(self) -> float:
        """How alike a model arranges inputs and their negatives: 1 if it is linear, about 0 if not.

        0 too where the panel has no negatives, or too few of them were answered.
        """
        sums, of = np.zeros(3), np.array(self.kinds)
        for kind in dict.fromkeys(self.kinds):
            places = np.flatnonzero(of == kind)
            turned = np.flatnonzero(of == kind + NEGATIVE)
            pairs = np.stack([places[: len(turned)], turned[: len(places)]])
            pairs = pairs[:, self.there[pairs].all(axis=0)]
            if pairs.shape[1] >= _LEAST_OF_A_KIND:
                kernels = (_kernel(self.features[group]) for group in pairs)
                width = self.features.shape[1]
                sums += _products(*(_arrangement(kernel, width) for kernel in kernels))
        return float(np.nan_to_num(_cosine(sums)))


def compare(first: Panel, second: Panel, *, level: float = 0.95) -> Alignment | None:
    """Measures how alike two models arrange their answers to one panel.

    Args:
        first: One model's answers.
        second: The other's.
        level: Confidence level of the interval.

    Returns:
        The alignment in [-1, 1] over the inputs that both answered; None where there are too few
        of them, or where either answers everything alike.
    """
    groups = _groups(first.there & second.there, first.kinds)
    whole, without = _alignments(first, second, groups)
    if not (groups and np.isfinite(whole) and np.isfinite(without).all()):
        return None
    return _jackknife(whole, without, level, 1.0)


def arrangement(panel: Panel) -> NDArray[np.float32] | None:
    """Returns how a model arranges a panel, as a vector of length 1 that knows no class.

    The product of two is the alignment of their models, as :func:`compare` computes it.

    Returns:
        Its length depends on the panel alone. None where an input was not answered, or where all
        were answered alike.
    """
    groups = _groups(panel.there, panel.kinds)
    if not panel.there.all() or not groups:
        return None
    width = panel.features.shape[1]
    parts = [_arrangement(_kernel(panel.features[group]), width).ravel() for group in groups]
    vector = np.concatenate(parts)
    size = float(np.linalg.norm(vector))
    return (vector / size).astype(np.float32) if size > 0 else None


def paired_difference(
    suspect: Panel, first: Panel, second: Panel, *, level: float = 0.95
) -> Alignment | None:
    """Measures by how much a suspect is nearer to one model than to another.

    Args:
        suspect: The suspect's answers.
        first: One model's.
        second: Another's, to the same panel.
        level: Confidence level of the interval.

    Returns:
        The difference of alignments over the inputs that all answered, in [-2, 2]: positive where
        the first is nearer. None where there are too few, or one answers everything alike.
    """
    groups = _groups(suspect.there & first.there & second.there, suspect.kinds)
    near, near_without = _alignments(suspect, first, groups)
    far, far_without = _alignments(suspect, second, groups)
    whole, without = near - far, near_without - far_without
    if not (groups and np.isfinite(whole) and np.isfinite(without).all()):
        return None
    return _jackknife(whole, without, level, 2.0)


def rank(
    suspect: Panel, panels: Mapping[str, NDArray[np.floating]], kind: AnswerKind = "logits"
) -> list[tuple[str, float]]:
    """Ranks models by resemblance to a suspect.

    Args:
        suspect: The suspect's answers.
        panels: By name, a model's answers to all inputs of the panel, shape ``(P, classes)``.
        kind: What these are.

    Returns:
        Names with their alignment, the most alike first; NaN, at the end, where the panel says
        nothing.
    """
    values: dict[str, float] = {}
    names = list(panels)
    for begin in range(0, len(names), _CHUNK):
        values.update(_aligned_with(suspect, names[begin : begin + _CHUNK], panels, kind))
    return sorted(values.items(), key=lambda entry: (np.isnan(entry[1]), -entry[1]))


def rank_models(
    suspect: Panel, models: Mapping[str, tuple[NDArray[np.floating], AnswerKind]]
) -> list[tuple[str, float]]:
    """Ranks models that give several kinds of answers; see :func:`rank`."""
    found: list[tuple[str, float]] = []
    for kind in sorted({kind for _, kind in models.values()}):
        panels = {name: rows for name, (rows, own) in models.items() if own == kind}
        found += rank(suspect, panels, kind)
    return sorted(found, key=lambda entry: (np.isnan(entry[1]), -entry[1]))


def conformal_p(value: float, known: Sequence[float]) -> float:
    """How rare such a resemblance is among independent models: ``(1 + #{≥ value}) / (n + 1)``."""
    return (1 + sum(other >= value for other in known)) / (len(known) + 1)


def resemblance_margin(
    kind: AnswerKind, classes: int, *, linearity: float = 0.0, known: Sequence[float] = ()
) -> Margin:
    """Chooses what a resemblance must exceed: the largest of the default and known strangers.

    Args:
        kind: What the suspect's answers are.
        classes: The smaller number of classes of the two models.
        linearity: Of the source.
        known: Resemblance of independent models to the candidate, in answers of this kind.
    """
    least = DEFAULT_MARGINS[kind][bisect(_CLASSES, classes)]
    default = min(1.0, max(least, linearity + _ABOVE_LINEAR))
    largest = max(known, default=-1.0)
    return Margin(
        max(default, largest),
        "registry" if largest > default else "default",
        pairs=len(known),
        floor=1 / (len(known) + 1),
        bound=_NO_BOUND,
    )


class Resemblance:
    """Measures how alike the suspect and the source arrange their answers to the panel."""

    name = "resemblance"

    def measure(
        self, name: str, fingerprint: Fingerprint, answers: Answers, calibration: Calibration
    ) -> tuple[Finding, ...]:
        """See :meth:`Test.measure`; there is no finding where the fingerprint has no panel."""
        recorded = fingerprint.panel_answers
        if not len(recorded):
            return ()
        given = answers.of(fingerprint.panel)
        suspect = Panel.of(given, answers.kind, floor=answers.floor)
        source = Panel.of(recorded, fingerprint.output.kind)
        both = int((suspect.there & source.there).sum())
        found = compare(suspect, source)
        if found is None:
            few = f"{both} of {len(recorded)} panel inputs were answered, {LEAST_ANSWERED} needed"
            alike = "all panel inputs were answered alike"
            missing = alike if _groups(suspect.there & source.there, source.kinds) else few
            return (Finding(test=self.name, used=both, detail={"missing": missing}),)
        classes = min(given.shape[1], recorded.shape[1])
        known = [
            pair.ratio
            for pair in calibration.ratios.get(name, ())
            if pair.test == self.name and _same_kind(pair.answer_kind, answers.kind)
        ]
        margin = resemblance_margin(answers.kind, classes, linearity=source.linearity, known=known)
        detail: dict[str, Any] = {
            "classes": classes,
            "answer_kind": answers.kind,
            "linearity": source.linearity,
            "default_margin": resemblance_margin(answers.kind, classes).value,
        }
        if known:
            detail["conformal_p"] = conformal_p(found.value, known)
        if classes <= 2:
            detail["limited"] = "two classes tell apart little: one number for each input"
        return (
            Finding(
                test=self.name,
                statistic=found.value,
                interval=(found.low, found.high),
                p_value=found.p_value(margin.value),
                least_p=2.0**-found.used,
                margin=margin,
                used=found.used,
                detail=detail,
            ),
        )


def _same_kind(known: str, asked: str) -> bool:
    """Whether two kinds of answers give the same features."""
    full = ("logits", "probabilities")
    return known == asked or (known in full and asked in full)


def _named_over_rest(rows: Array) -> Array:
    """Log of named probabilities over the mean of the others, 0 for these; centred over classes."""
    there = named(rows)
    others = rows.shape[1] - there.sum(axis=1, keepdims=True)
    least = np.where(there, rows, np.inf).min(axis=1, keepdims=True)
    left = np.clip(1.0 - np.where(there, rows, 0.0).sum(axis=1, keepdims=True), 1e-6, None)
    # What is not named is no likelier than what is.
    rest = np.minimum(left / np.maximum(others, 1), least)
    logs = np.where(there, np.log(np.where(there, rows, 1.0) / rest), 0.0)
    centred: Array = logs - logs.mean(axis=1, keepdims=True)
    return centred


def _groups(there: NDArray[np.bool_], kinds: tuple[str, ...]) -> list[NDArray[np.intp]]:
    """Places of the answered inputs by kind; none where there are too few to compare."""
    of = np.array(kinds)
    groups = [np.flatnonzero(there & (of == kind)) for kind in dict.fromkeys(kinds)]
    groups = [group for group in groups if len(group) >= _LEAST_OF_A_KIND]
    return groups if sum(map(len, groups)) >= LEAST_ANSWERED else []


def _alignments(
    first: Panel, second: Panel, groups: Sequence[NDArray[np.intp]]
) -> tuple[float, Array]:
    """The alignment over all inputs of the groups, and without each of them in turn."""
    sums, without = np.zeros(3), [np.empty((0, 3))]
    for group in groups:
        kernels = [_kernel(panel.features[group]) for panel in (first, second)]
        widths = [panel.features.shape[1] for panel in (first, second)]
        whole = _products(*map(_arrangement, kernels, widths))
        rest = _products(*map(_arrangement, map(_each_left_out, kernels), widths))
        sums = sums + whole
        without.append(rest - whole)
    return float(_cosine(sums)), _cosine(sums + np.concatenate(without))


def _kernel(rows: Array) -> Array:
    """Linear kernels ``(..., n, n)`` of features ``(..., n, classes)``."""
    return rows @ rows.swapaxes(-1, -2)


def _each_left_out(kernel: Array) -> Array:
    """Shape ``(n, n - 1, n - 1)``: a kernel without each of its inputs in turn."""
    n = len(kernel)
    kept = np.array([np.delete(np.arange(n), left) for left in range(n)])
    out: Array = kernel[kept[:, :, None], kept[:, None, :]]
    return out


def _arrangement(kernel: Array, classes: int) -> Array:
    """Evens out and U-centres kernels ``(..., n, n)``; zero where all answers are alike."""
    n = kernel.shape[-1]
    size = np.trace(kernel, axis1=-2, axis2=-1)[..., None, None]
    row = kernel.mean(axis=-1, keepdims=True)
    centred = kernel - row - row.swapaxes(-1, -2) + row.mean(axis=-2, keepdims=True)
    strength = np.trace(centred, axis1=-2, axis2=-1)[..., None, None]
    constant = strength <= _CONSTANT * size
    share = _EVENING * np.where(constant, 1.0, strength) / max(1, min(n, classes) - 1)
    evened = centred @ np.linalg.inv(centred + share * np.eye(n))
    return np.where(constant, 0.0, _u_centred(evened))


def _u_centred(kernel: Array) -> Array:
    """U-centres kernels ``(..., n, n)``: products are n (n - 3) times their unbiased HSIC."""
    n = kernel.shape[-1]
    off = 1.0 - np.eye(n)
    kernel = kernel * off
    row = kernel.sum(axis=-1, keepdims=True) / (n - 2)
    whole = row.sum(axis=-2, keepdims=True) / (n - 1)
    centred: Array = (kernel - row - row.swapaxes(-1, -2) + whole) * off
    return centred


def _products(first: Array, second: Array) -> Array:
    """``⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩`` of arrangements ``(..., n, n)``, shape ``(..., 3)``."""
    first, second = np.broadcast_arrays(first, second)
    pairs = ((first, second), (first, first), (second, second))
    return np.stack([np.einsum("...ij,...ij->...", a, b) for a, b in pairs], axis=-1)


def _cosine(products: Array) -> Array:
    """Cosines of products ``(..., 3)``; NaN where one of the two is zero."""
    size = np.sqrt(products[..., 1] * products[..., 2])
    with np.errstate(invalid="ignore"):
        cosine: Array = np.where(size > 0, products[..., 0] / np.where(size > 0, size, 1.0), np.nan)
    return cosine


def _jackknife(whole: float, without: Array, level: float, most: float) -> Alignment:
    """The interval of a statistic that lies in ``[-most, most]``."""
    n = len(without)
    error = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * error
    low, high = max(whole - half, -most), min(whole + half, most)
    return Alignment(whole, low, high, error, n)


def _aligned_with(
    suspect: Panel,
    names: Sequence[str],
    panels: Mapping[str, NDArray[np.floating]],
    kind: AnswerKind,
) -> dict[str, float]:
    """Alignments with a few models, those with the same answered inputs and classes at once."""
    alike: dict[tuple[bytes, int], list[tuple[str, Panel]]] = {}
    for name in names:
        panel = Panel.of(panels[name], kind, kinds=suspect.kinds)
        key = (panel.there & suspect.there).tobytes(), panel.features.shape[1]
        alike.setdefault(key, []).append((name, panel))
    values: dict[str, float] = {}
    for (there, _), members in alike.items():
        sums = np.zeros((len(members), 3))
        for group in _groups(np.frombuffer(there, dtype=bool), suspect.kinds):
            asked = suspect.features[group]
            rows = np.stack([panel.features[group] for _, panel in members])
            sums += _products(
                _arrangement(_kernel(asked), asked.shape[1]),
                _arrangement(_kernel(rows), rows.shape[2]),
            )
        aligned = _cosine(sums)
        values.update(
            (name, float(value)) for (name, _), value in zip(members, aligned, strict=True)
        )
    return values
