"""From a model to its fingerprint: a plan, candidates drawn by it, and what they come to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fingerprint.network.checks import check_informative, require_deterministic
from fingerprint.network.model import Model
from fingerprint.probes.extraction.drawing import drawn
from fingerprint.probes.extraction.finished import of_answers_alone, of_probes
from fingerprint.probes.extraction.plan import Known
from fingerprint.probes.extraction.planning import planned
from fingerprint.probes.keeping import Keeper
from fingerprint.probes.probe import Fingerprint
from fingerprint.probes.settings import ExtractionSettings
from fingerprint.progress import Progress, silent

__all__ = ["extract", "extract_with"]


def extract(
    model: Model,
    *,
    seed: str,
    probes: int = 24,
    others: Mapping[str, Model] | None = None,
    other_linear: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    relatives: Mapping[str, Model] | None = None,
    references: Mapping[str, Model] | None = None,
    images: NDArray[Any] | None = None,
    progress: Progress = silent,
) -> Fingerprint:
    """Solves for a model's probes and records its answers.

    Args:
        model: The source.
        seed: Registry seed; the public inputs and all starts derive from it.
        probes: See :class:`ExtractionSettings`, as for the other settings.
        others: Registered models to stay away from, by name; kin left out.
        other_linear: Stored linear parts of those whose weights are gone, by name.
        relatives: The model's ancestors and their other descendants, nearest first, by name.
        references: Public models of the same inputs that are none of its kin, by name: strangers
            that the pilot judges depths by, beside a copy with fresh weights.
        images: Base inputs instead of dead leaves.
        progress: Called as ``progress(stage, done, total)``.

    Returns:
        The fingerprint, ready to be registered or verified against.

    Raises:
        NoInformation: The network is dead, constant or not finite, or no perturbation was
            found that it ignores.
        UsageError: A setting is out of range.
    """
    found = extract_with(
        ExtractionSettings(probes=probes, images=images),
        model,
        seed=seed,
        others=others,
        other_linear=other_linear,
        relatives=relatives,
        references=references,
        progress=progress,
    )
    kin = [
        f"its probes act on {name!r} as on itself: if that is kin, leave it out of others"
        for name in found.parameters.get("not_told_from", ())
    ]
    return replace(found, warnings=(*found.warnings, *kin))


def extract_with(
    settings: ExtractionSettings,
    model: Model,
    *,
    seed: str,
    others: Mapping[str, Model] | None = None,
    other_linear: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    relatives: Mapping[str, Model] | None = None,
    references: Mapping[str, Model] | None = None,
    keep: Path | None = None,
    progress: Progress = silent,
) -> Fingerprint:
    """Does what :func:`extract` does, with settings that were made before.

    Args:
        settings: What shapes the fingerprint.
        model: The source.
        seed: Registry seed.
        others: See :func:`extract`, as for the next three.
        other_linear: Stored linear parts.
        relatives: Ancestors and their other descendants.
        references: Further strangers of the pilot.
        keep: A folder where solved probes are kept until all are, so that an extraction that was
            interrupted goes on where it was.
        progress: Called as ``progress(stage, done, total)``.
    """
    began = time.perf_counter()
    check_informative(model)
    require_deterministic(model)
    if settings.answers_only:
        return of_answers_alone(model, seed, began)
    known = Known(
        others=others or {},
        linear=other_linear or {},
        relatives=relatives or {},
        references=references or {},
    )
    plan = planned(settings, model, seed, known, progress)
    keeper = Keeper(keep, model, plan.bases, plan.decides, seed)
    candidates = drawn(plan, keeper, progress)
    found = of_probes(plan, candidates, began, progress)
    keeper.forget()
    return found
