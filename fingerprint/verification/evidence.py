"""What a suspect's answers say about one candidate: harm, its ratio, and its tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fingerprint.distances import (
    answer_distance,
    answer_size,
    named,
    precision,
    top_k,
)
from fingerprint.precision import Precision
from fingerprint.probes.probe import Fingerprint
from fingerprint.verification.asking import Answers
from fingerprint.verification.statistics import (
    Estimate,
    discordance_test,
    estimate_ratio,
    holm,
    odds_of_margin,
    permutation_test,
)

__all__ = ["Evidence", "Harms", "KindTest", "gather", "least_ratio", "measured_harms"]

Array = NDArray[np.float64]

_LEAST_PROBES = 4
_LEAST_BASES = 2


@dataclass(frozen=True, eq=False)
class Harms:
    """How far the probes of a fingerprint, and the same turned, move a suspect's answers.

    Attributes:
        harm: Of each probe, float64 of shape ``(N,)``, at least ``least``; not finite where an
            answer is not.
        control: Of its control, likewise.
        least: What the answers can show of either, shape ``(N,)``; one value for a base.
        answers: To the harmless inputs, shape ``(N, classes)``.
    """

    harm: Array
    control: Array
    least: Array
    answers: NDArray[np.float32]

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Probes whose answers and whose control's are all there."""
        there: NDArray[np.bool_] = np.isfinite(self.harm) & np.isfinite(self.control)
        return there

    @property
    def moved(self) -> NDArray[np.bool_]:
        """Probes where either of the two moved the answer; of the others nothing is known."""
        with np.errstate(invalid="ignore"):
            seen = np.maximum(self.harm, self.control) > self.least
        moved: NDArray[np.bool_] = self.answered & seen
        return moved


@dataclass(frozen=True)
class KindTest:
    """The test of one kind of probe.

    Attributes:
        kind: ``network`` or ``linear``.
        estimate: Geometric mean harm ratio with its interval.
        p_value: Of the permutation test, corrected over kinds.
        probes: How many probes took part.
        least: The harm ratio that these answers would have shown had no probe moved them: where
            answers are coarse, not even the source comes below.
    """

    kind: str
    estimate: Estimate
    p_value: float
    probes: int
    least: float = 0.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything measured about one candidate.

    Attributes:
        tests: One for each kind of probe with enough evidence; most significant first.
        missing: Why there is no evidence; empty when there is some.
        deviation: Largest relative difference from the source's recorded answers; None if the
            label spaces differ.
        label_agreement: Share of probes with the source's label; None if they cannot be
            compared.
        probes_used: Probes that gave evidence.
        per_probe: Plain values for the report.
    """

    tests: tuple[KindTest, ...]
    missing: str
    deviation: float | None
    label_agreement: float | None
    probes_used: int
    per_probe: tuple[dict[str, Any], ...]


def gather(fingerprint: Fingerprint, answers: Answers, margin: float) -> Evidence:
    """Measures a suspect's answers against one fingerprint.

    Args:
        fingerprint: The candidate.
        answers: The suspect's answers to all its inputs.
        margin: m₀.

    Returns:
        The evidence; without any, ``missing`` says why.
    """
    harms = measured_harms(fingerprint, answers)
    perturbed = harms.answers
    usable, missing = _usable(harms, answers.kind)
    tests: tuple[KindTest, ...] = ()
    if not missing:
        tests = _tests(fingerprint, harms, usable, margin, answers.kind)
        missing = "" if tests else "too few probes were answered"
    same_space = perturbed.shape[-1] == fingerprint.output.classes
    recorded = np.stack([probe.answer for probe in fingerprint.probes])
    return Evidence(
        tests=tests,
        missing=missing,
        deviation=_deviation(fingerprint, answers) if same_space else None,
        label_agreement=_agreement(perturbed, recorded) if same_space else None,
        probes_used=int(usable.sum()),
        per_probe=_per_probe(fingerprint, harms, usable),
    )


def measured_harms(fingerprint: Fingerprint, answers: Answers) -> Harms:
    """Measures how far each harmless input, and the same turned, moves a suspect's answer.

    Rounded answers may not move at all. That is no harm of zero but one too small to be seen, so
    probe and control alike count at least what the answers of their base can show: within a base
    they stay exchangeable for whoever has nothing to do with the source.

    Args:
        fingerprint: The candidate, of N probes.
        answers: The suspect's answers to all its inputs.
    """
    rows = np.array([probe.base for probe in fingerprint.probes])
    bases = answers.of(fingerprint.bases)
    perturbed = answers.of(fingerprint.harmless)
    floor = answers.floor
    harm = answer_distance(perturbed, bases[rows], answers.kind, floor=floor)
    controls = answers.of(fingerprint.controls)
    origin = answers.of(fingerprint.control_bases)
    control = answer_distance(controls, origin, answers.kind, floor=floor)
    given = np.stack([bases[rows], perturbed, origin, controls], axis=1)  # (N, 4, classes)
    known, least = answers.precision, np.zeros(len(rows))
    for base in sorted(set(rows)):
        least[rows == base] = known.least_distance(given[rows == base])
    return Harms(np.maximum(harm, least), np.maximum(control, least), least, perturbed)


def _usable(harms: Harms, kind: str) -> tuple[NDArray[np.bool_], str]:
    """Probes that give evidence, and why there are too few.

    A label that stays is an answer as exact as one that changes; of other answers, those count
    that the probe or its control moved.
    """
    answered, moved = harms.answered, harms.moved
    if int(answered.sum()) < _LEAST_PROBES:
        return answered, "the answers are missing or not finite"
    labels = kind == "labels"
    usable = answered if labels else moved
    if int(moved.sum()) < (1 if labels else _LEAST_PROBES):
        return usable, "the answers do not change with the input: a constant or dead network"
    return usable, ""


def _tests(
    fingerprint: Fingerprint,
    harms: Harms,
    usable: NDArray[np.bool_],
    margin: float,
    answer_kind: str,
) -> tuple[KindTest, ...]:
    """Tests each kind of probe, its controls dealt out within bases, and corrects for both."""
    kinds = np.array([probe.kind for probe in fingerprint.probes])
    rows = np.array([probe.base for probe in fingerprint.probes])
    found: list[KindTest] = []
    for kind in sorted(set(kinds)):
        chosen = usable & (kinds == kind)
        if int(chosen.sum()) < _LEAST_PROBES or len(set(rows[chosen])) < _LEAST_BASES:
            continue
        treated, control = _by_base(harms, chosen, rows)
        if answer_kind == "labels":
            estimate, p_value, least = *_test_labels(treated, control, margin), 0.0
        else:
            estimate = estimate_ratio(_logs(treated), _logs(control))
            least = float(np.exp(np.log(harms.least / harms.control)[chosen].mean()))
            # Dealt out anew are all that were answered. Leaving out those that nothing moved
            # would leave each probe at most one of the values that did not move, and the
            # relabellings of the others would spread less than these values do.
            everything = harms.answered & (kinds == kind)
            treated, control = _by_base(harms, everything, rows)
            p_value = permutation_test(_logs(treated), _logs(control), margin)
        found.append(KindTest(str(kind), estimate, p_value, int(chosen.sum()), least))
    corrected = holm([test.p_value for test in found])
    tests = [replace(test, p_value=p) for test, p in zip(found, corrected, strict=True)]
    return tuple(sorted(tests, key=lambda test: (test.p_value, test.estimate.ratio)))


def _by_base(
    harms: Harms, chosen: NDArray[np.bool_], rows: NDArray[np.integer]
) -> tuple[list[Array], list[Array]]:
    """Harms of the chosen probes and of their controls, an array for each base they have."""
    groups = [chosen & (rows == base) for base in sorted(set(rows[chosen]))]
    return [harms.harm[group] for group in groups], [harms.control[group] for group in groups]


def _logs(groups: list[Array]) -> list[Array]:
    return [np.log(values) for values in groups]


def _test_labels(
    treated: list[Array], control: list[Array], margin: float
) -> tuple[Estimate, float]:
    changed = sum(float(values.mean()) for values in treated) / len(treated)
    expected = sum(float(values.mean()) for values in control) / len(control)
    ratio = changed / expected if expected > 0 else float("inf")
    odds = odds_of_margin(control, margin)
    return Estimate(ratio, 0.0, float("inf")), discordance_test(treated, control, odds)


def _deviation(fingerprint: Fingerprint, answers: Answers) -> float:
    """Largest relative difference between given and recorded answers.

    Where one side gives logits and the other probabilities, softmax brings them together. Where
    only the likeliest classes are named, the recorded answer is cut to as many. For labels it is
    0 where all agree, infinite otherwise.
    """
    given = answers.of(fingerprint.harmless)
    recorded = np.stack([probe.answer for probe in fingerprint.probes])
    kind, recorded_kind, floor = answers.kind, fingerprint.output.kind, answers.floor
    if kind == "labels":
        return 0.0 if bool((given.argmax(-1) == recorded.argmax(-1)).all()) else np.inf
    if kind == "top-k":
        if recorded_kind == "logits":
            recorded = softmax(recorded, axis=-1)
        recorded = top_k(recorded, named(given).sum(axis=-1))
    elif kind != recorded_kind:
        given = given if kind == "probabilities" else softmax(given, axis=-1)
        recorded = recorded if recorded_kind == "probabilities" else softmax(recorded, axis=-1)
        kind = "probabilities"
        floor = precision(given) if floor is None else floor
    difference = answer_distance(given, recorded, kind, floor=floor)
    size = answer_size(recorded, kind, floor=floor)
    explained = difference <= Precision(kind).float_distance(recorded)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(explained, 0.0, difference / size).max())


def _agreement(given: NDArray[np.float32], recorded: NDArray[np.float32]) -> float | None:
    answered = np.isfinite(given).all(axis=-1)
    if not answered.any():
        return None
    return float((given.argmax(-1) == recorded.argmax(-1))[answered].mean())


def _per_probe(
    fingerprint: Fingerprint, harms: Harms, usable: NDArray[np.bool_]
) -> tuple[dict[str, Any], ...]:
    harm, control_harm = harms.harm, harms.control
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = harm / control_harm
    return tuple(
        {
            "kind": probe.kind,
            "base": probe.base,
            "harm": _finite(harm[place]),
            "control_harm": _finite(control_harm[place]),
            "harm_ratio": _finite(ratios[place]),
            "used": bool(usable[place]),
        }
        for place, probe in enumerate(fingerprint.probes)
    )


def least_ratio(per_probe: Sequence[Mapping[str, Any]]) -> float | None:
    """Returns the harm ratio of the kind of probe where it is least.

    Descent is claimed when one kind of probe falls below the margin, whichever, so this is the
    ratio of an independent model that a margin has to stay below.

    Args:
        per_probe: What :attr:`Evidence.per_probe` holds, of answers that are not mere labels.

    Returns:
        The least of the kinds that are tested; None where none is.
    """
    used = [row for row in per_probe if row["used"]]
    found = []
    for kind in {row["kind"] for row in used}:
        rows = [row for row in used if row["kind"] == kind]
        if len(rows) >= _LEAST_PROBES and len({row["base"] for row in rows}) >= _LEAST_BASES:
            logs = np.log([(row["harm"], row["control_harm"]) for row in rows])
            found.append(float(np.exp((logs[:, 0] - logs[:, 1]).mean())))
    return min(found, default=None)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
