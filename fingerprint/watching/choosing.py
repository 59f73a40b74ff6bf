"""What a target is asked: where a change of the network shows soonest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.spec import InputSpec
from fingerprint.probes.panel import panel_inputs
from fingerprint.questions import question_id
from fingerprint.watching.baseline import Recorded

if TYPE_CHECKING:
    from fingerprint.probes.probe import Fingerprint

__all__ = ["questions_of_model", "questions_of_panel"]


def questions_of_panel(spec: InputSpec, seed: str, count: int) -> NDArray[Any]:
    """Returns inputs of a registry's panel, as many as are wanted, shape ``(count, *shape)``."""
    return panel_inputs(spec, seed, count)


def questions_of_model(
    name: str, fingerprint: Fingerprint, count: int
) -> tuple[NDArray[Any], Recorded]:
    """Returns what a registered model was asked, and its answers.

    First its probes: in them a large perturbation is hidden from this one network, and comes to
    light when its weights move. Then the panel, then the bases.

    Args:
        name: Of the model.
        fingerprint: What is known of it.
        count: How many at most.

    Returns:
        The questions, shape ``(Q, *shape)``, no two equal, and what is recorded of them.
    """
    classes = fingerprint.output.classes
    answers = [probe.answer for probe in fingerprint.probes]
    groups = (
        (fingerprint.harmless, np.reshape(answers, (len(answers), classes))),
        (fingerprint.panel, fingerprint.panel_answers),
        (fingerprint.bases, fingerprint.base_answers),
    )
    found = {
        question_id(one): (one, row)
        for inputs, rows in groups
        for one, row in zip(inputs, rows, strict=True)
    }
    chosen = list(found.values())[:count]
    recorded = Recorded(
        name=name,
        output=fingerprint.output,
        answers=np.stack([row for _, row in chosen]).astype(np.float32),
        tolerance=fingerprint.tolerance,
    )
    return np.stack([one for one, _ in chosen]), recorded
