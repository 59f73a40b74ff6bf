"""What a suspect's answers say about one candidate: harm, its ratio, and its tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

__all__ = ["Evidence", "KindTest", "gather", "least_ratio", "measured_harms"]

Array = NDArray[np.float64]

_LEAST_PROBES = 4
_LEAST_BASES = 2
_QUIET = 1e-6
"""Harm of a control, relative to the largest answer, below which a base says nothing."""


@dataclass(frozen=True)
class KindTest:
    """The test of one kind of probe.

    Attributes:
        kind: ``network`` or ``linear``.
        estimate: Geometric mean harm ratio with its interval.
        p_value: Of the permutation test, corrected over kinds.
        probes: How many probes took part.
    """

    kind: str
    estimate: Estimate
    p_value: float
    probes: int


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
    harm, control_harm, perturbed = measured_harms(fingerprint, answers)
    usable, missing = _usable(perturbed, harm, control_harm, answers.kind)
    tests: tuple[KindTest, ...] = ()
    if not missing:
        tests = _tests(fingerprint, harm, control_harm, usable, margin, answers.kind)
        missing = "" if tests else "too few probes were answered"
    same_space = perturbed.shape[-1] == fingerprint.output.classes
    recorded = np.stack([probe.answer for probe in fingerprint.probes])
    return Evidence(
        tests=tests,
        missing=missing,
        deviation=_deviation(fingerprint, answers) if same_space else None,
        label_agreement=_agreement(perturbed, recorded) if same_space else None,
        probes_used=int(usable.sum()),
        per_probe=_per_probe(fingerprint, harm, control_harm, usable),
    )


def measured_harms(
    fingerprint: Fingerprint, answers: Answers
) -> tuple[Array, Array, NDArray[np.float32]]:
    """Measures how far each harmless input, and the same turned, moves a suspect's answer.

    Args:
        fingerprint: The candidate, of N probes.
        answers: The suspect's answers to all its inputs.

    Returns:
        The harm of each probe and that of its control, each float64 of shape ``(N,)`` and not
        finite where an answer is not; and the answers to the harmless inputs, shape
        ``(N, classes)``.
    """
    rows = np.array([probe.base for probe in fingerprint.probes])
    bases = answers.of(fingerprint.bases)
    perturbed = answers.of(fingerprint.harmless)
    floor = answers.floor
    harm = answer_distance(perturbed, bases[rows], answers.kind, floor=floor)
    controls = answers.of(fingerprint.controls)
    origin = answers.of(fingerprint.control_bases)
    control = answer_distance(controls, origin, answers.kind, floor=floor)
    return harm, control, perturbed


def _usable(
    perturbed: NDArray[np.float32], harm: Array, control_harm: Array, kind: str
) -> tuple[NDArray[np.bool_], str]:
    """Probes that were answered and whose control was noticed, and why there are too few."""
    answered = np.isfinite(harm) & np.isfinite(control_harm)
    size = np.abs(perturbed[answered]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        noticed = answered & (control_harm > _QUIET * size)
    if int(answered.sum()) < _LEAST_PROBES:
        return answered, "the answers are missing or not finite"
    if kind == "labels":
        silent = not bool((harm[answered] > 0).any() or (control_harm[answered] > 0).any())
        noticed = answered
    else:
        silent = int(noticed.sum()) < _LEAST_PROBES
    if silent:
        return noticed, "the answers do not change with the input: a constant or dead network"
    return noticed, ""


def _tests(
    fingerprint: Fingerprint,
    harm: Array,
    control_harm: Array,
    usable: NDArray[np.bool_],
    margin: float,
    answer_kind: str,
) -> tuple[KindTest, ...]:
    """Tests each kind of probe, its controls dealt out within bases, and corrects for both."""
    kinds = np.array([probe.kind for probe in fingerprint.probes])
    rows = np.array([probe.base for probe in fingerprint.probes])
    found: list[tuple[str, Estimate, float, int]] = []
    for kind in sorted(set(kinds)):
        chosen = usable & (kinds == kind)
        groups = [chosen & (rows == base) for base in sorted(set(rows[chosen]))]
        if int(chosen.sum()) < _LEAST_PROBES or len(groups) < _LEAST_BASES:
            continue
        treated = [harm[group] for group in groups]
        control = [control_harm[group] for group in groups]
        estimate, p_value = _test(treated, control, margin, answer_kind)
        found.append((str(kind), estimate, p_value, int(chosen.sum())))
    corrected = holm([p_value for _, _, p_value, _ in found])
    tests = [
        KindTest(kind=kind, estimate=estimate, p_value=p_value, probes=count)
        for (kind, estimate, _, count), p_value in zip(found, corrected, strict=True)
    ]
    return tuple(sorted(tests, key=lambda test: (test.p_value, test.estimate.ratio)))


def _test(
    treated: list[Array], control: list[Array], margin: float, answer_kind: str
) -> tuple[Estimate, float]:
    if answer_kind == "labels":
        changed = sum(float(values.mean()) for values in treated) / len(treated)
        expected = sum(float(values.mean()) for values in control) / len(control)
        ratio = changed / expected if expected > 0 else float("inf")
        odds = odds_of_margin(control, margin)
        return Estimate(ratio, 0.0, float("inf")), discordance_test(treated, control, odds)
    tiny = np.finfo(np.float32).tiny
    logs = [np.log(np.maximum(values, tiny)) for values in treated]
    control_logs = [np.log(np.maximum(values, tiny)) for values in control]
    return estimate_ratio(logs, control_logs), permutation_test(logs, control_logs, margin)


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
    return float((difference / np.maximum(size, np.finfo(np.float32).tiny)).max())


def _agreement(given: NDArray[np.float32], recorded: NDArray[np.float32]) -> float | None:
    answered = np.isfinite(given).all(axis=-1)
    if not answered.any():
        return None
    return float((given.argmax(-1) == recorded.argmax(-1))[answered].mean())


def _per_probe(
    fingerprint: Fingerprint, harm: Array, control_harm: Array, usable: NDArray[np.bool_]
) -> tuple[dict[str, Any], ...]:
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
            harms = np.array([(row["harm"], row["control_harm"]) for row in rows], np.float64)
            logs = np.log(np.maximum(harms, np.finfo(np.float32).tiny))
            found.append(float(np.exp((logs[:, 0] - logs[:, 1]).mean())))
    return min(found, default=None)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
