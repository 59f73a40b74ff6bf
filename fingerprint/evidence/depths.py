"""The harm ratio at each depth: how far harmless inputs move the answers, against the same turned.

A finding for each depth, and one statistic over all of them: what a candidate is claimed by is the
smallest standardised sum, corrected for the others exactly.

Where turns that exchange the axes and turns that keep them are two control groups, a finding says
what holds against both: the larger ratio, the larger p-value, and an interval that spans both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.distances import answer_distance
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.finding import Finding, finite
from fingerprint.evidence.orbits import (
    OrbitTest,
    labels_test,
    least_joint,
    over_depths,
    over_separate_depths,
    ratio_of,
    swap_test,
)
from fingerprint.evidence.resemblance import Panel
from fingerprint.harm import LEAST_PROBES, Orbits, enough, orbits_of
from fingerprint.probes.turns import control_groups

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["depth_findings", "measured_orbits", "still"]

Mask = NDArray[np.bool_]

Tests = list[OrbitTest] | list[float]
"""The tests of one depth, one for each control group."""

TEST = "harm_ratio"

_ALIKE = 0.05
"""How far the answer to a picture upside down may be from that to the picture, as a share of what
the controls do, to count as the same."""


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
    columns = control_groups(fingerprint.input.shape, fingerprint.turns)
    groups = [orbits.against(kind) for kind in columns]
    labels = answers.kind == "labels"
    linearity = Panel.of(fingerprint.panel_answers, fingerprint.output.kind).linearity
    kinds = np.array([probe.kind for probe in fingerprint.probes])
    rows = np.array([probe.base for probe in fingerprint.probes])
    blind = _takes_flipped_for_it(fingerprint, answers, orbits)
    findings: list[Finding] = []
    places: list[int] = []
    tests: list[Tests] = []
    for depth in fingerprint.depths:
        margin = calibration.margin(
            name, fingerprint, test=TEST, depth=depth.name, answer_kind=answers.kind
        ).of_linear(linearity)
        margin = margin.of_source(_on_source(fingerprint, depth.name))
        if depth.speaks_for == "individual":
            margin = margin.of_copies(fingerprint.rough_copy_ratio)
            margin = margin.of_relatives(fingerprint.relatives_ratio)
        own = kinds == depth.name
        asked = _Asked(groups, own & orbits.answered, rows, labels)
        finding = Finding(
            test=TEST,
            depth=depth.name,
            speaks_for=depth.speaks_for,
            margin=margin,
            used=asked.used,
            detail={
                "answered": int((orbits.answered & own).sum()),
                "probes": int(own.sum()),
                "share": depth.share,
                "per_probe": _per_probe(rows, orbits, asked.anywhere, np.flatnonzero(own)),
            },
        )
        if missing := asked.missing or blind:
            finding = replace(finding, detail={**finding.detail, "missing": missing})
        else:
            finding, found = _with_labels(finding, asked) if labels else _with_ratio(finding, asked)
            places.append(len(findings))
            tests.append(found)
        findings.append(finding)
    shapes = [(findings[place].used, min(map(len, columns))) for place in places]
    for place, joint in zip(places, _joint(tests), strict=True):
        findings[place] = replace(findings[place], joint_p=joint, least_p=least_joint(shapes))
    return tuple(findings)


def _takes_flipped_for_it(fingerprint: Fingerprint, answers: Answers, orbits: Orbits) -> str:
    """Says so where a suspect cannot tell flipped controls from probes; empty if it can.

    Labels are left out: most pictures have one whichever way round they are.
    """
    flipped = answers.of(fingerprint.flipped_bases)
    if not len(flipped) or answers.kind == "labels":
        return ""
    origin = answers.of(fingerprint.bases[: len(flipped)])
    apart = answer_distance(flipped, origin, answers.kind, floor=answers.floor)
    moves = np.exp(orbits.of_turns[orbits.moved])
    if not (len(moves) and (apart <= _ALIKE * np.median(moves)).all()):
        return ""
    return (
        "it answers a picture and the picture upside down alike, and so probes and their controls"
    )


def _on_source(fingerprint: Fingerprint, depth: str) -> float:
    """Returns the median harm ratio of a depth's probes on their source; 0 where none is known."""
    ratios = [probe.harm_ratio for probe in fingerprint.probes if probe.kind == depth]
    known = [ratio for ratio in ratios if math.isfinite(ratio)]
    return float(np.median(known)) if known else 0.0


@dataclass(frozen=True, eq=False)
class _Asked:
    """What was answered of one depth: its probes beside each control group.

    Attributes:
        groups: All probes beside one control group each.
        own: Which probes are of this depth and have a whole orbit of answers.
        rows: Which base each probe has.
        labels: Whether answers are labels: one that stays is as exact as one that changes. Of
            other answers, those count that any of an orbit moved.
    """

    groups: Sequence[Orbits]
    own: Mask
    rows: NDArray[np.integer]
    labels: bool

    @property
    def chosen(self) -> list[Mask]:
        """Probes that give evidence, for each control group."""
        return [self.own if self.labels else self.own & one.moved for one in self.groups]

    @property
    def anywhere(self) -> Mask:
        """Probes that give evidence beside any control group."""
        anywhere: Mask = np.logical_or.reduce(self.chosen)
        return anywhere

    @property
    def used(self) -> int:
        """How many probes give evidence beside each control group."""
        return min(int(chosen.sum()) for chosen in self.chosen)

    @property
    def missing(self) -> str:
        """Why the depth gives no evidence; empty if it does."""
        if self.own.sum() < LEAST_PROBES:
            return "the answers are missing or not finite"
        least = 1 if self.labels else LEAST_PROBES
        if any((one.moved & self.own).sum() < least for one in self.groups):
            return still(labels=self.labels)
        whole = all(enough(chosen, self.rows) for chosen in self.chosen)
        return "" if whole else "too few probes were answered"


def _joint(tests: Sequence[Tests]) -> list[float]:
    """Returns each depth's p-value corrected over all of them.

    One control group has one exact law over all depths. Of several, the one that the null
    hypothesis holds for may differ from depth to depth, so depths are corrected each by itself.
    """
    alone = [test for of_depth in tests for test in of_depth if isinstance(test, OrbitTest)]
    if len(alone) == len(tests):
        return over_depths(alone)
    return over_separate_depths([max(map(_p_value, of_depth)) for of_depth in tests])


def _p_value(test: OrbitTest | float) -> float:
    return test.p_value if isinstance(test, OrbitTest) else test


def _with_ratio(finding: Finding, asked: _Asked) -> tuple[Finding, list[OrbitTest]]:
    """Adds the ratio over chosen probes, and its p-value over all that were answered."""
    assert finding.margin is not None
    estimates, tests, least = [], [], []
    for group, chosen in zip(asked.groups, asked.chosen, strict=True):
        logs = group.logs
        ratios = logs[chosen, 0] - group.of_turns[chosen]
        estimates.append(ratio_of(ratios, asked.rows[chosen].tolist()))
        tests.append(swap_test(logs[asked.own], finding.margin.tested))
        least.append(_least_ratio(group, chosen))
    return replace(
        finding,
        statistic=max(estimate.ratio for estimate in estimates),
        interval=(min(one.low for one in estimates), max(one.high for one in estimates)),
        p_value=max(test.p_value for test in tests),
        detail={**finding.detail, "least_ratio": max(least)},
    ), tests


def _least_ratio(group: Orbits, chosen: Mask) -> float:
    """Returns the ratio of probes that move nothing, as far as the answers can show it."""
    if not (group.least[chosen] > 0).all():
        return 0.0
    return float(np.exp((np.log(group.least[chosen]) - group.of_turns[chosen]).mean()))


def _with_labels(finding: Finding, asked: _Asked) -> tuple[Finding, list[float]]:
    """Adds the ratio of rates of change and its p-value; labels have no interval."""
    assert finding.margin is not None
    parts = [
        group.harm[chosen] > 0.5 for group, chosen in zip(asked.groups, asked.chosen, strict=True)
    ]
    p_values = [labels_test(changed, finding.margin.tested) for changed in parts]
    return replace(
        finding,
        statistic=max(map(_of_rates, parts)),
        interval=(0.0, float("inf")),
        p_value=max(p_values),
        detail={**finding.detail, "exact": True},
    ), p_values


def _of_rates(changed: Mask) -> float:
    """Returns how often probes change the label over how often their turns do."""
    expected = float(changed[:, 1:].mean())
    return float(changed[:, 0].mean()) / expected if expected > 0 else float("inf")


def _per_probe(
    rows: NDArray[np.integer], orbits: Orbits, used: Mask, places: NDArray[np.integer]
) -> list[dict[str, Any]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        control = np.exp(orbits.of_turns)
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


def still(*, labels: bool) -> str:
    """Says that nothing moved the answers; labels seldom change, whoever gives them."""
    if labels:
        return (
            "neither a probe nor a turn changed the label of its base: labels say too little here, "
            "or the network is constant or dead"
        )
    return "the answers do not change with the input: a constant or dead network"
