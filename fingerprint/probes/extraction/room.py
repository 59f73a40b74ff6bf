"""The room for claims by individual probes: what they do to a copy, and to relatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fingerprint.errors import FingerprintError
from fingerprint.network.model import Model
from fingerprint.probes.extraction.plan import Plan
from fingerprint.probes.probe import Probe
from fingerprint.probes.screening import measure
from fingerprint.probes.simulated import ROUGH, with_head, with_statistics, without_smallest
from fingerprint.probes.turns import control_groups

__all__ = ["near_relatives", "rough_copy"]


def rough_copy(plan: Plan, probes: Sequence[Probe]) -> float | None:
    """Measures what individual probes do to a copy that lacks much: the room that copies take."""
    own = _individual(plan, probes)
    copy = without_smallest(plan.model, ROUGH) if own else None
    return None if copy is None else _ratio(plan, copy, own, max)


def near_relatives(plan: Plan, probes: Sequence[Probe]) -> float | None:
    """Measures what individual probes do to whoever of the relatives they move least.

    Each relative counts as it is and under the head of the model, and either with the running
    statistics of the model as well: siblings that learn gently share those and, if they began with
    the same head, that. None without individual probes.
    """
    own = _individual(plan, probes)
    if not own:
        return None
    ratios = [
        _ratio(plan, one, own, min)
        for relative in plan.kin.models.values()
        for one in _alike(relative, plan.model)
    ]
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def _alike(relative: Model, model: Model) -> Iterator[Model]:
    """Yields a relative, and what can be made of it that is nearer to the model."""
    for one in (relative, with_head(relative, model)):
        if one is not None:
            yield one
            settled = with_statistics(one, model)
            if settled is not None:
                yield settled


def _individual(plan: Plan, probes: Sequence[Probe]) -> list[Probe]:
    kinds = {kind.name for kind in plan.kinds if kind.speaks_for == "individual"}
    return [probe for probe in probes if probe.kind in kinds]


def _ratio(
    plan: Plan, model: Model, probes: Sequence[Probe], chosen: Callable[[list[float]], float]
) -> float | None:
    """Returns the harm ratio of probes on a model, of the control groups the chosen; 1 at most.

    None where it gives no answers, or nothing moves them.
    """
    harmless, rows = np.stack([one.harmless for one in probes]), [one.base for one in probes]
    try:
        orbits = measure(model, plan.bases, harmless, rows, plan.turns).orbits
    except FingerprintError:
        return None
    parts = [orbits.against(kind) for kind in control_groups(plan.model.input.shape, plan.turns)]
    if not all(part.moved.any() for part in parts):
        return None
    logs = [float(np.log(part.ratios[part.moved]).mean()) for part in parts]
    return min(1.0, float(np.exp(chosen(logs))))
