"""Findings made by hand, and the verdict on them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from fingerprint.kinship import Kinship
from fingerprint.verdict import weigh
from fingerprint.verification import Candidate

__all__ = [
    "ALPHA",
    "FAMILY",
    "HIGH",
    "INF",
    "LOW",
    "NOT_OWN",
    "OWN",
    "RELATED",
    "SILENT",
    "a_test",
    "equality",
    "judged",
]

ALPHA = 0.001
_MARGIN = Margin(0.7, "default")
INF = math.inf


def a_test(
    ratio: float, low: float, high: float, p: float, kind: str = "network", **changes: Any
) -> Finding:
    """One kind of probe: its ratio with an interval, and a p-value."""
    finding = Finding(
        test="harm_ratio",
        depth=kind,
        statistic=ratio,
        interval=(low, high),
        p_value=p,
        least_p=1e-12,
        margin=_MARGIN,
        used=24,
    )
    return replace(finding, **changes)


def equality(deviation: float | None, tolerance: float = 1e-6) -> tuple[Finding, ...]:
    """How far answers are from the recorded ones; no finding where nobody can say."""
    if deviation is None:
        return ()
    detail = {
        "equal": deviation <= tolerance,
        "explained": deviation <= tolerance,
        "tolerance": tolerance,
        "rounded_to": None,
        "label_agreement": 0.5,
    }
    return (Finding(test="equality", statistic=deviation, used=24, detail=detail),)


def judged(
    *tests: Finding,
    deviation: float | None = 1.0,
    margin: Margin | None = None,
    identical: bool = False,
    **settings: Any,
) -> Candidate:
    """Judges one candidate, by itself."""
    if margin is not None:
        tests = tuple(replace(test, margin=margin) for test in tests)
    (candidate,) = weigh(
        {"ours": [*tests, *equality(deviation)]},
        **({"family": 1, "alpha": ALPHA} | settings),
        identical=["ours"] if identical else [],
    )
    return candidate


LOW = a_test(0.1, 0.05, 0.2, 1e-9)
HIGH = a_test(0.95, 0.85, 1.05, 0.9)
SILENT = Finding(test="harm_ratio", depth="network", detail={"missing": "they are not finite"})
FAMILY = a_test(0.1, 0.05, 0.2, 1e-12, "stage1", speaks_for="family", joint_p=1e-12)
OWN = a_test(
    0.2,
    0.1,
    0.4,
    1e-9,
    "individual features",
    speaks_for="individual",
    joint_p=1e-9,
    margin=Margin(0.45, bound=INF),
)
NOT_OWN = replace(OWN, statistic=0.8, interval=(0.7, 0.95), p_value=0.4, joint_p=0.4)
RELATED = Kinship(parents={"ours": "base", "sibling": "base"})
