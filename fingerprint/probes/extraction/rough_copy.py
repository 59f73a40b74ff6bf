"""The room that copies take: what individual probes do to one that lacks much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fingerprint.errors import FingerprintError
from fingerprint.probes.extraction.plan import Plan
from fingerprint.probes.probe import Probe
from fingerprint.probes.screening import measure
from fingerprint.probes.simulated import ROUGH, without_smallest
from fingerprint.probes.turns import control_groups

__all__ = ["rough_copy"]


def rough_copy(plan: Plan, probes: Sequence[Probe]) -> float | None:
    """Measures what individual probes do to a copy that lacks much: the room that copies take."""
    individual = {kind.name for kind in plan.kinds if kind.speaks_for == "individual"}
    own = [probe for probe in probes if probe.kind in individual]
    copy = without_smallest(plan.model, ROUGH) if own else None
    if copy is None:
        return None
    harmless, rows = np.stack([one.harmless for one in own]), [one.base for one in own]
    try:
        orbits = measure(copy, plan.bases, harmless, rows, plan.turns).orbits
    except FingerprintError:
        return None
    parts = [orbits.against(kind) for kind in control_groups(plan.model.input.shape, plan.turns)]
    if not all(part.moved.any() for part in parts):
        return None
    logs = [np.log(part.ratios[part.moved]).mean() for part in parts]
    return min(1.0, float(np.exp(max(logs))))
