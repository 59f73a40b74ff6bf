"""The room for claims among relatives: what individual probes do to a copy and to relatives.

And what copies and relatives answer to the panel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.distances import answer_distance
from fingerprint.errors import FingerprintError
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.probes.copies import copies_of
from fingerprint.probes.extraction.plan import Plan
from fingerprint.probes.panel import panel_inputs
from fingerprint.probes.probe import CopyAnswers, Probe
from fingerprint.probes.screening import measure
from fingerprint.probes.simulated import ROUGH, with_head, with_statistics, without_smallest
from fingerprint.probes.turns import control_groups
from fingerprint.progress import Progress

__all__ = ["copy_answers", "near_relatives", "rough_copy"]

_ASKED = 32
"""Inputs of the panel that copies are asked: enough to see that answers are equal."""


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
        for one in _alike(relative, with_head(relative, plan.model), plan.model)
    ]
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def copy_answers(
    plan: Plan, panel_answers: NDArray[np.float32], progress: Progress
) -> CopyAnswers | None:
    """Asks copies of the source, and whoever of the relatives is nearest to it, likewise.

    ``panel_answers`` are the source's. None without relatives, or where the last layer of one can't
    be exchanged, so that nobody knows how near to the source a relative is.
    """
    inputs = panel_inputs(plan.model.input, plan.seed)[:_ASKED]
    own, kind = panel_answers[:_ASKED], plan.model.output.kind
    least, nearest = math.inf, None
    for relative in plan.kin.models.values():
        headed = with_head(relative, plan.model)
        if headed is None:
            return None
        for one in _alike(relative, headed, plan.model):
            rows = _answers(one, inputs)
            if rows is None or rows.shape != own.shape:
                continue
            apart = float(np.median(answer_distance(rows, own, kind)))
            if apart < least:
                least, nearest = apart, (one, rows)
    if nearest is None:
        return None
    told = _told(plan.model, nearest[0], inputs, progress)
    if not told:
        return None
    answers, beside = (np.stack(rows) for rows in zip(*told.values(), strict=True))
    return CopyAnswers(tuple(told), answers, nearest[1], beside)


def _told(
    model: Model, relative: Model, inputs: NDArray[Any], progress: Progress
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Returns what each copy of a model answers, and that of a relative, where both do."""
    ours, theirs = copies_of(model), copies_of(relative)
    names = [name for name in ours if name in theirs]
    told = {}
    for place, name in enumerate(names):
        progress("asking copies", place, len(names))
        one, other = _answers(ours[name](), inputs), _answers(theirs[name](), inputs)
        if one is not None and other is not None:
            told[name] = one, other
    progress("asking copies", len(names), len(names))
    return told


def _answers(model: Model, inputs: NDArray[Any]) -> NDArray[np.float32] | None:
    """Returns what a model answers; None where that fails, or is not finite."""
    try:
        rows = run(model, inputs)
    except FingerprintError:
        return None
    return rows if np.isfinite(rows).all() else None


def _alike(relative: Model, headed: Model | None, model: Model) -> Iterator[Model]:
    """Yields a relative, and what can be made of it that is nearer to the model.

    ``headed`` is the relative under the model's head, if it can be.
    """
    for one in (relative, headed):
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
