"""Settles where a model's probes are solved, how many there, from which bases, against whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fingerprint.network.depths import depths_of
from fingerprint.network.model import Model
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.storage import from_arrays
from fingerprint.probes.bases import grained_leaves
from fingerprint.probes.extraction.early import early_kind
from fingerprint.probes.extraction.late import late_kind
from fingerprint.probes.extraction.plan import Known, Plan
from fingerprint.probes.extraction.shares import dealt, enough_turns
from fingerprint.probes.harmless_spaces import find_spaces, linear_operator_of
from fingerprint.probes.pilot import early_kinds, judged, pilot
from fingerprint.probes.public import chosen_images
from fingerprint.probes.screening import Screen
from fingerprint.probes.settings import ExtractionSettings
from fingerprint.progress import Progress

__all__ = ["planned"]

_MOST_BASES = 24
_ONE_DEPTH = 12
"""Fewer probes than this are all of one depth."""


def planned(
    settings: ExtractionSettings, model: Model, seed: str, known: Known, progress: Progress
) -> Plan:
    """Settles the bases, the harmless spaces, the screen and the depths."""
    bases = _bases(settings, model, seed, min(settings.probes, _MOST_BASES))
    progress("harmless spaces", 0, 1)
    spaces = find_spaces(model)
    depths = depths_of(model)
    linear = {name: from_arrays(dict(arrays)) for name, arrays in known.linear.items()}
    tried = pilot(
        judged(depths),
        early_kinds(model, depths, spaces.space),
        seed=seed,
        bases=bases,
        references=known.references,
        progress=progress,
    )
    late, solved_against = late_kind(depths, known.relatives, tried.best)
    early = early_kind(tried.best, depths, spaces, _linear_parts(known.others, linear))
    # A shallow network's early depth may be what its last layer reads.
    kinds = (late,) if early is None or early.name == late.name else (early, late)
    if settings.probes < _ONE_DEPTH:
        kinds = kinds[-1:] if known.relatives else kinds[:1]
    counts = dealt(settings.probes, kinds, model.input.shape)
    return Plan(
        model=model,
        settings=settings,
        seed=seed,
        bases=bases[: max(counts)],
        spaces=spaces,
        screen=Screen(known.others, linear, model.input),
        kin=Screen(known.relatives, {}, model.input),
        kinds=kinds,
        counts=counts,
        pilot=tried,
        turns=enough_turns(model, tried.turns, max(counts)),
        solved_against=solved_against,
    )


def _bases(settings: ExtractionSettings, model: Model, seed: str, count: int) -> NDArray[Any]:
    if settings.images is None:
        return grained_leaves(model.input, seed, count)
    return chosen_images(model.input, settings.images, seed, count)


def _linear_parts(
    others: Mapping[str, Model], linear: Mapping[str, LinearOperator]
) -> tuple[LinearOperator, ...]:
    """Linear parts of the other models, whose harmless spaces linear probes stay out of."""
    found = [linear_operator_of(other) for other in others.values()]
    return (*(operator for operator in found if operator is not None), *linear.values())
