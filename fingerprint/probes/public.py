"""Public inputs: bases and controls, the same for every model of one domain and one registry."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import UsageError
from fingerprint.models.spec import InputSpec
from fingerprint.probes.noise import base_input, start_noise
from fingerprint.probes.probe import BaseSet

__all__ = ["CONTROLS", "MAX_BASES", "public_inputs", "start_input"]

MAX_BASES = 6
CONTROLS = 4
"""Controls of each base; they steady the harm ratio of every probe that shares the base."""


def public_inputs(
    spec: InputSpec, seed: str, start: str, bases: int, images: NDArray[Any] | None = None
) -> BaseSet:
    """Derives bases and controls from the registry's seed and the input domain.

    Args:
        spec: What the network takes; only its domain matters, not its normalisation.
        seed: Registry seed.
        start: Kind of noise, one of ``START_KINDS``.
        bases: Number of bases.
        images: Base inputs to take instead of plain colours, shape ``(N, *spec.shape)``,
            uint8 for pixels; chosen by the seed when there are more than needed.

    Returns:
        The bases ``(bases, *shape)`` and ``CONTROLS`` controls for each.

    Raises:
        UsageError: There are too few images, or they do not fit the input.
    """
    label = f"nullprint|{seed}|{spec.domain}"
    if images is None:
        chosen = np.stack([base_input(spec, f"{label}|base|{place}") for place in range(bases)])
    else:
        chosen = _chosen_images(spec, images, label, bases)
    controls = np.stack(
        [
            np.stack(
                [
                    start_noise(spec, start, f"{label}|control|{start}|{place}|{index}")
                    for index in range(CONTROLS)
                ]
            )
            for place in range(bases)
        ]
    )
    return BaseSet(start=start, bases=chosen, controls=controls)


def start_input(
    spec: InputSpec, seed: str, start: str, *, model_digest: str, base: int, draw: int
) -> NDArray[Any]:
    """Derives the input a probe is solved from: start noise that is the model's own.

    Args:
        spec: What the network takes.
        seed: Registry seed.
        start: Kind of noise.
        model_digest: Content digest of the source, so that nobody can pick a start by hand.
        base: Index of the base.
        draw: Counts the starts of this base.
    """
    label = f"nullprint|{seed}|{spec.domain}|start|{start}|{model_digest}|{base}|{draw}"
    return start_noise(spec, start, label)


def _chosen_images(spec: InputSpec, images: NDArray[Any], label: str, bases: int) -> NDArray[Any]:
    wanted = np.uint8 if spec.kind == "pixels" else np.float32
    if images.shape[1:] != spec.shape or images.dtype != wanted:
        raise UsageError(
            f"base images: expected {np.dtype(wanted)} of shape (N, {str(spec.shape)[1:]}, "
            f"got {images.dtype} of shape {images.shape}"
        )
    if len(images) < bases:
        raise UsageError(f"base images: expected at least {bases}, got {len(images)}")
    order = sorted(
        range(len(images)),
        key=lambda place: hashlib.sha256(label.encode() + images[place].tobytes()).digest(),
    )
    return np.stack([images[place] for place in order[:bases]])
