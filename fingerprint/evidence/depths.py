"""The harm ratio at each depth: how far harmless inputs move the answers, against the same turned.

A finding for each depth, and one statistic over all of them: what a candidate is claimed by is the
smallest standardised sum, corrected for the others exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.finding import Finding, finite
from fingerprint.evidence.orbits import (
    OrbitTest,
    labels_test,
    least_joint,
    over_depths,
    over_label_depths,
    ratio_of,
    swap_test,
)
from fingerprint.evidence.resemblance import Panel
from fingerprint.harm import LEAST_PROBES, Orbits, enough, orbits_of

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["depth_findings", "measured_orbits"]

Mask = NDArray[np.bool_]

TEST = "harm_ratio"


def measured_orbits(fingerprint: Fingerprint, answers: Answers) -> Orbits:
    """Measures how far each probe, and each of its turns, moves a suspect's answer."""
    rows = np.array([probe.base for probe in fingerprint.probes])
    controls = answers.of(fingerprint.controls)
    return orbits_of(
        answers.of(fingerprint.harmless),
        answers.of(fingerprint.bases)[rows],
        controls.reshape(len(rows), len(fingerprint.turns), -1),
        known=answers.precision,
        floor=answers.floor,
    )


def depth_findings(
    name: str, fingerprint: Fingerprint, answers: Answers, calibration: Calibration
) -> tuple[Finding, ...]:
    """Measures one finding for each depth of a fingerprint.

    Args:
        name: The candidate.
        fingerprint: Its fingerprint, with turns.
        answers: The suspect's answers to all its inputs; some may be missing.
        calibration: What is known of independent models.
    """
    orbits = measured_orbits(fingerprint, answers)
    labels = answers.kind == "labels"
    linearity = Panel.of(fingerprint.panel_answers, fingerprint.output.kind).linearity
    kinds = np.array([probe.kind for probe in fingerprint.probes])
    rows = np.array([probe.base for probe in fingerprint.probes])
    findings: list[Finding] = []
    places: list[int] = []
    tests: list[OrbitTest | float] = []
    for depth in fingerprint.depths:
        own = kinds == depth.name
        chosen = own & (orbits.answered if labels else orbits.moved)
        margin = calibration.margin(
            name, fingerprint, test=TEST, depth=depth.name, answer_kind=answers.kind
        ).of_linear(linearity)
        if depth.speaks_for == "individual":
            margin = margin.of_copies(fingerprint.rough_copy_ratio)
        finding = Finding(
            test=TEST,
            depth=depth.name,
            speaks_for=depth.speaks_for,
            margin=margin,
            used=int(chosen.sum()),
            detail={
                "answered": int((orbits.answered & own).sum()),
                "probes": int(own.sum()),
                "share": depth.share,
                "per_probe": _per_probe(rows, orbits, chosen, np.flatnonzero(own)),
            },
        )
        missing = _missing(orbits, own, chosen, rows, labels=labels)
        if missing:
            finding = replace(finding, detail={**finding.detail, "missing": missing})
        elif labels:
            finding, p_value = _with_labels(finding, orbits, chosen)
            places.append(len(findings))
            tests.append(p_value)
        else:
            finding, test = _with_ratio(finding, orbits, chosen, orbits.answered & own, rows)
            places.append(len(findings))
            tests.append(test)
        findings.append(finding)
    shapes = [(findings[place].used, len(fingerprint.turns)) for place in places]
    for place, joint in zip(places, _joint(tests), strict=True):
        findings[place] = replace(findings[place], joint_p=joint, least_p=least_joint(shapes))
    return tuple(findings)


def _joint(tests: Sequence[OrbitTest | float]) -> list[float]:
    known = [test for test in tests if isinstance(test, OrbitTest)]
    if len(known) == len(tests):
        return over_depths(known)
    return over_label_depths([test for test in tests if isinstance(test, float)])


def _missing(
    orbits: Orbits, own: Mask, chosen: Mask, rows: NDArray[np.integer], *, labels: bool
) -> str:
    """Why a depth gives no evidence; empty if it does.

    A label that stays is an answer as exact as one that changes; of other answers, those count
    that any of the orbit moved.
    """
    if int((orbits.answered & own).sum()) < LEAST_PROBES:
        return "the answers are missing or not finite"
    if int((orbits.moved & own).sum()) < (1 if labels else LEAST_PROBES):
        return "the answers do not change with the input: a constant or dead network"
    return "" if enough(chosen, rows) else "too few probes were answered"


def _with_ratio(
    finding: Finding,
    orbits: Orbits,
    chosen: Mask,
    everything: Mask,
    rows: NDArray[np.integer],
) -> tuple[Finding, OrbitTest]:
    """Adds the ratio over chosen probes, and its p-value over all that were answered."""
    assert finding.margin is not None
    logs = orbits.logs
    estimate = ratio_of(logs[chosen], rows[chosen].tolist())
    test = swap_test(logs[everything], finding.margin.tested)
    controls = logs[chosen, 1:].mean(axis=1)
    least = (
        float(np.exp((np.log(orbits.least[chosen]) - controls).mean()))
        if (orbits.least[chosen] > 0).all()
        else 0.0
    )
    return replace(
        finding,
        statistic=estimate.ratio,
        interval=(estimate.low, estimate.high),
        p_value=test.p_value,
        detail={**finding.detail, "least_ratio": least},
    ), test


def _with_labels(finding: Finding, orbits: Orbits, chosen: Mask) -> tuple[Finding, float]:
    """Adds the ratio of rates of change and its p-value; labels have no interval."""
    assert finding.margin is not None
    changed = orbits.harm[chosen] > 0.5
    expected = float(changed[:, 1:].mean())
    p_value = labels_test(changed, finding.margin.tested)
    return replace(
        finding,
        statistic=float(changed[:, 0].mean()) / expected if expected > 0 else float("inf"),
        interval=(0.0, float("inf")),
        p_value=p_value,
        detail={**finding.detail, "exact": True},
    ), p_value


def _per_probe(
    rows: NDArray[np.integer], orbits: Orbits, used: Mask, places: NDArray[np.integer]
) -> list[dict[str, Any]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        control = np.exp(orbits.logs[:, 1:].mean(axis=1))
        ratios = orbits.harm[:, 0] / control
    return [
        {
            "base": int(rows[place]),
            "harm": finite(orbits.harm[place, 0]),
            "control_harm": finite(control[place]),
            "harm_ratio": finite(ratios[place]),
            "used": bool(used[place]),
        }
        for place in places
    ]
