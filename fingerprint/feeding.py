"""Was the suspect fed as it wants to be? Asked of suspects that run here and match nothing.

Wrong normalisation, scale or channel order make a copy answer like a stranger, and *independent*
would be false. So a part of the panel is asked again under the usual ones; where one of them makes
the suspect resemble a candidate as only kin do, and the flags given do not, that is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import FingerprintError
from fingerprint.evidence.resemblance import Panel, rank_models
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.suspects.graph import GraphSuspect
from fingerprint.suspects.variants import FLIPPED, variants

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.network.spec import AnswerKind
    from fingerprint.probes.probe import Fingerprint

    _Panels = Mapping[str, tuple[NDArray[np.floating], AnswerKind]]

__all__ = ["FLIPPED_INPUTS", "better_flags", "flipped_flags", "flipped_panel"]

_INPUTS = FLIPPED_INPUTS = 32
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
    panels = _panels(fingerprints)
    if not panels:
        return {}
    some = next(one for name, one in fingerprints.items() if name in panels)
    inputs = some.panel[:_INPUTS]
    others: Iterator[tuple[str, Model | GraphSuspect]] = (
        suspect.variants() if isinstance(suspect, GraphSuspect) else variants(suspect)
    )
    values = ((flags, _values(variant, inputs, panels)) for flags, variant in others)
    return _better(_values(suspect, inputs, panels), values)


def flipped_panel(fingerprints: Mapping[str, Fingerprint]) -> NDArray[Any] | None:
    """Returns a part of the panel with its channels the other way round; None if that is nothing.

    It is what somebody else is asked who cannot be fed otherwise.
    """
    panels = _panels(fingerprints)
    some = next((one for name, one in fingerprints.items() if name in panels), None)
    if some is None or some.input.kind != "pixels" or some.input.shape[0] != 3:
        return None
    return np.ascontiguousarray(some.panel[:_INPUTS, ::-1])


def flipped_flags(
    answers: Answers, flipped: Answers, fingerprints: Mapping[str, Fingerprint]
) -> dict[str, str]:
    """Returns, by candidate that the suspect resembles with its channels turned, a flag for that.

    Args:
        answers: To the panel, among others.
        flipped: To :func:`flipped_panel`.
        fingerprints: The candidates.
    """
    panels, turned = _panels(fingerprints), flipped_panel(fingerprints)
    if turned is None:
        return {}
    plain = np.ascontiguousarray(turned[:, ::-1])
    given, other = (
        _ranked(asked.of(inputs), asked.output.kind, panels)
        for asked, inputs in ((answers, plain), (flipped, turned))
    )
    return _better(given, [(FLIPPED, other)])


def _panels(fingerprints: Mapping[str, Fingerprint]) -> _Panels:
    return {
        name: (one.panel_answers[:_INPUTS], one.output.kind)
        for name, one in fingerprints.items()
        if len(one.panel_answers) >= _INPUTS
    }


def _better(
    given: Mapping[str, float], others: Iterable[tuple[str, Mapping[str, float]]]
) -> dict[str, str]:
    """Returns by candidate the flags that suit it better than those given, if any do."""
    best: dict[str, tuple[float, str]] = {}
    for flags, values in others:
        for name, value in values.items():
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
    except FingerprintError:
        return {}
    return _ranked(asked, suspect.output.kind, panels)


def _ranked(answers: NDArray[np.floating], kind: AnswerKind, panels: _Panels) -> dict[str, float]:
    """Returns the resemblance of answers to each candidate's; none where they say nothing."""
    try:
        panel = Panel.of(answers, kind)
        return {name: value for name, value in rank_models(panel, panels) if np.isfinite(value)}
    except FingerprintError:
        return {}
