"""Was the suspect fed as it wants to be? Asked of suspects that run here and match nothing.

Wrong normalisation, scale or channel order make a copy answer like a stranger, and *independent*
would be false. So a part of the panel is asked again under the usual ones; where one of them makes
the suspect resemble a candidate as only kin do, and the flags given do not, that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import FingerprintError
from fingerprint.evidence.resemblance import Panel, rank_models
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.suspects.graph import GraphSuspect
from fingerprint.suspects.variants import variants

if TYPE_CHECKING:
    from fingerprint.network.spec import AnswerKind
    from fingerprint.probes.probe import Fingerprint

    _Panels = Mapping[str, tuple[NDArray[np.floating], AnswerKind]]

__all__ = ["better_flags"]

_INPUTS = 32
"""Inputs of the panel that are asked again under each way of feeding."""
_KIN = 0.7
"""Resemblance that no stranger of the benchmark came near."""
_BETTER = 0.3
"""By how much it must exceed the resemblance under the flags given."""


def better_flags(
    suspect: Model | GraphSuspect, fingerprints: Mapping[str, Fingerprint]
) -> dict[str, str]:
    """Returns, by candidate, the flags under which the suspect resembles it and was not loaded.

    Args:
        suspect: As it was loaded.
        fingerprints: The candidates; those without a panel are left out.
    """
    panels: _Panels = {
        name: (one.panel_answers[:_INPUTS], one.output.kind)
        for name, one in fingerprints.items()
        if len(one.panel_answers) >= _INPUTS
    }
    if not panels:
        return {}
    some = next(one for name, one in fingerprints.items() if name in panels)
    inputs = some.panel[:_INPUTS]
    given = _values(suspect, inputs, panels)
    best: dict[str, tuple[float, str]] = {}
    others: Iterator[tuple[str, Model | GraphSuspect]] = (
        suspect.variants() if isinstance(suspect, GraphSuspect) else variants(suspect)
    )
    for flags, variant in others:
        for name, value in _values(variant, inputs, panels).items():
            enough = max(_KIN, given.get(name, 0.0) + _BETTER)
            if value >= enough and value > best.get(name, (0.0, ""))[0]:
                best[name] = (value, flags)
    return {name: flags for name, (_, flags) in best.items()}


def _values(
    suspect: Model | GraphSuspect, inputs: NDArray[Any], panels: _Panels
) -> dict[str, float]:
    """Returns the resemblance to each candidate; none where the answers say nothing."""
    try:
        asked = (
            suspect.respond(inputs) if isinstance(suspect, GraphSuspect) else run(suspect, inputs)
        )
        panel = Panel.of(asked, suspect.output.kind)
    except FingerprintError:
        return {}
    return {name: value for name, value in rank_models(panel, panels) if np.isfinite(value)}
