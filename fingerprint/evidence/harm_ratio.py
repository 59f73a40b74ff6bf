"""The harm ratio: how far harmless inputs move the answers, against the same turned.

Of fingerprints that earlier releases made; those of this release are tested depth by depth, see
:mod:`fingerprint.evidence.depths`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.depths import depth_findings, still
from fingerprint.evidence.finding import Finding, finite
from fingerprint.evidence.statistics import (
    discordance_test,
    estimate_ratio,
    least_p_value,
    odds_of_margin,
    permutation_test,
)
from fingerprint.harm import LEAST_PROBES, Harms, enough, harms_of

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["HarmRatio", "measured_harms"]

Array = NDArray[np.float64]


class HarmRatio:
    """Tests each kind of probe, its controls dealt out within bases."""

    name = "harm_ratio"

    def measure(
        self, name: str, fingerprint: Fingerprint, answers: Answers, calibration: Calibration
    ) -> tuple[Finding, ...]:
        """See :meth:`Test.measure`; one finding for each kind of probe."""
        if fingerprint.turns:
            return depth_findings(name, fingerprint, answers, calibration)
        if not fingerprint.probes:
            return ()
        harms = measured_harms(fingerprint, answers)
        usable, missing = _usable(harms, answers.kind)
        kinds = np.array([probe.kind for probe in fingerprint.probes])
        rows = np.array([probe.base for probe in fingerprint.probes])
        per_probe = _per_probe(fingerprint, harms, usable)
        findings = []
        for kind in sorted(set(kinds.tolist())):
            own = kinds == kind
            chosen = usable & own
            margin = calibration.margin(
                name, fingerprint, test=self.name, depth=kind, answer_kind=answers.kind
            )
            finding = Finding(
                test=self.name,
                depth=kind,
                margin=margin,
                used=int(chosen.sum()),
                detail={
                    "answered": int((harms.answered & own).sum()),
                    "probes": int(own.sum()),
                    "per_probe": [per_probe[place] for place in np.flatnonzero(own)],
                },
            )
            if missing or not enough(chosen, rows):
                reason = missing or "too few probes were answered"
                finding = replace(finding, detail={**finding.detail, "missing": reason})
            elif answers.kind == "labels":
                finding = _with_labels(finding, *_by_base(harms, chosen, rows))
            else:
                everything = harms.answered & own
                finding = _with_ratio(finding, harms, chosen, everything, rows)
            findings.append(finding)
        return tuple(findings)


def measured_harms(fingerprint: Fingerprint, answers: Answers) -> Harms:
    """Measures how far each harmless input, and the same turned, moves a suspect's answer.

    Args:
        fingerprint: The candidate, of N probes.
        answers: The suspect's answers to all its inputs.
    """
    rows = np.array([probe.base for probe in fingerprint.probes])
    return harms_of(
        answers.of(fingerprint.harmless),
        answers.of(fingerprint.bases)[rows],
        answers.of(fingerprint.controls),
        answers.of(fingerprint.control_bases),
        rows=rows,
        known=answers.precision,
        floor=answers.floor,
    )


def _usable(harms: Harms, kind: str) -> tuple[NDArray[np.bool_], str]:
    """Probes that give evidence, and why there are too few.

    A label that stays is an answer as exact as one that changes; of other answers, those count
    that the probe or its control moved.
    """
    answered, moved = harms.answered, harms.moved
    if int(answered.sum()) < LEAST_PROBES:
        return answered, "the answers are missing or not finite"
    labels = kind == "labels"
    usable = answered if labels else moved
    if int(moved.sum()) < (1 if labels else LEAST_PROBES):
        return usable, still(labels=labels)
    return usable, ""


def _with_ratio(
    finding: Finding,
    harms: Harms,
    chosen: NDArray[np.bool_],
    everything: NDArray[np.bool_],
    rows: NDArray[np.integer],
) -> Finding:
    """Adds the ratio over chosen probes, and its p-value over all that were answered.

    Leaving out those that nothing moved would leave each probe at most one of the values that
    did not move, and the relabellings of the others would spread less than these values do.
    """
    assert finding.margin is not None
    estimate = estimate_ratio(*map(_logs, _by_base(harms, chosen, rows)))
    treated, control = map(_logs, _by_base(harms, everything, rows))
    least = float(np.exp(np.log(harms.least / harms.control)[chosen].mean()))
    return replace(
        finding,
        statistic=estimate.ratio,
        interval=(estimate.low, estimate.high),
        p_value=permutation_test(treated, control, finding.margin.tested),
        least_p=least_p_value([(len(t), len(c)) for t, c in zip(treated, control, strict=True)]),
        detail={**finding.detail, "least_ratio": least},
    )


def _with_labels(finding: Finding, treated: list[Array], control: list[Array]) -> Finding:
    """Adds the ratio of rates of change and its p-value; labels have no interval."""
    assert finding.margin is not None
    margin = finding.margin.tested
    changed = sum(float(values.mean()) for values in treated) / len(treated)
    expected = sum(float(values.mean()) for values in control) / len(control)
    still, moved = [0 * values for values in treated], [0 * values + 1 for values in control]
    return replace(
        finding,
        statistic=changed / expected if expected > 0 else float("inf"),
        interval=(0.0, float("inf")),
        p_value=discordance_test(treated, control, odds_of_margin(control, margin)),
        least_p=discordance_test(still, moved, odds_of_margin(moved, margin)),
        detail={**finding.detail, "exact": True},
    )


def _by_base(
    harms: Harms, chosen: NDArray[np.bool_], rows: NDArray[np.integer]
) -> tuple[list[Array], list[Array]]:
    """Harms of the chosen probes and of their controls, an array for each base they have."""
    groups = [chosen & (rows == base) for base in sorted(set(rows[chosen]))]
    return [harms.harm[group] for group in groups], [harms.control[group] for group in groups]


def _logs(groups: list[Array]) -> list[Array]:
    return [np.log(values) for values in groups]


def _per_probe(
    fingerprint: Fingerprint, harms: Harms, usable: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = harms.harm / harms.control
    return [
        {
            "base": probe.base,
            "harm": finite(harms.harm[place]),
            "control_harm": finite(harms.control[place]),
            "harm_ratio": finite(ratios[place]),
            "used": bool(usable[place]),
        }
        for place, probe in enumerate(fingerprint.probes)
    ]
