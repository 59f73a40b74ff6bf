"""The harm ratio: how far harmless inputs move the answers, against the same turned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.distances import answer_distance
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.finding import Finding, finite
from fingerprint.evidence.statistics import (
    Estimate,
    discordance_test,
    estimate_ratio,
    least_p_value,
    odds_of_margin,
    permutation_test,
)

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["HarmRatio", "measured_harms"]

Array = NDArray[np.float64]

_LEAST_PROBES = 4
_LEAST_BASES = 2
_QUIET = 1e-6
"""Harm of a control, relative to the largest answer, below which a base says nothing."""


class HarmRatio:
    """Tests each kind of probe, its controls dealt out within bases."""

    name = "harm_ratio"

    def measure(
        self, name: str, fingerprint: Fingerprint, answers: Answers, calibration: Calibration
    ) -> tuple[Finding, ...]:
        """See :meth:`Test.measure`; one finding for each kind of probe."""
        harm, control_harm, perturbed = measured_harms(fingerprint, answers)
        usable, missing = _usable(perturbed, harm, control_harm, answers.kind)
        kinds = np.array([probe.kind for probe in fingerprint.probes])
        rows = np.array([probe.base for probe in fingerprint.probes])
        per_probe = _per_probe(fingerprint, harm, control_harm, usable)
        findings = []
        for kind in sorted(set(kinds.tolist())):
            chosen = usable & (kinds == kind)
            groups = [chosen & (rows == base) for base in sorted(set(rows[chosen]))]
            detail: dict[str, Any] = {
                "per_probe": [row for row, own in zip(per_probe, kinds == kind, strict=True) if own]
            }
            margin = calibration.margin(
                name, fingerprint, test=self.name, depth=kind, answer_kind=answers.kind
            )
            used = int(chosen.sum())
            few = used < _LEAST_PROBES or len(groups) < _LEAST_BASES
            if missing or few:
                detail["missing"] = missing or "too few probes were answered"
                findings.append(
                    Finding(test=self.name, depth=kind, margin=margin, used=used, detail=detail)
                )
                continue
            treated = [harm[group] for group in groups]
            control = [control_harm[group] for group in groups]
            estimate, p_value = _tested(treated, control, margin.tested, answers.kind)
            findings.append(
                Finding(
                    test=self.name,
                    depth=kind,
                    statistic=estimate.ratio,
                    interval=(estimate.low, estimate.high),
                    p_value=p_value,
                    least_p=_least_p(treated, control, margin.tested, answers.kind),
                    margin=margin,
                    used=used,
                    detail=detail,
                )
            )
        return tuple(findings)


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


def _tested(
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


def _least_p(treated: list[Array], control: list[Array], margin: float, answer_kind: str) -> float:
    """The p-value had no harmless input moved the answer and every control."""
    if answer_kind == "labels":
        still, moved = [0 * values for values in treated], [0 * values + 1 for values in control]
        return discordance_test(still, moved, odds_of_margin(moved, margin))
    return least_p_value([(len(t), len(c)) for t, c in zip(treated, control, strict=True)])


def _per_probe(
    fingerprint: Fingerprint, harm: Array, control_harm: Array, usable: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = harm / control_harm
    return [
        {
            "base": probe.base,
            "harm": finite(harm[place]),
            "control_harm": finite(control_harm[place]),
            "harm_ratio": finite(ratios[place]),
            "used": bool(usable[place]),
        }
        for place, probe in enumerate(fingerprint.probes)
    ]
