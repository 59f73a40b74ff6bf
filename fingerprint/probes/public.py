"""Public inputs: bases, the same for every model of one domain and one registry, and starts."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.solvers.noise import base_input, start_noise

__all__ = ["MAX_BASES", "public_bases", "start_input"]

MAX_BASES = 6

_DRAWS = 16


def public_bases(
    spec: InputSpec, seed: str, count: int, images: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Derives bases from the registry's seed and the input domain.

    Args:
        spec: What the network takes; only its domain matters, not its normalisation.
        seed: Registry seed.
        count: Number of bases.
        images: Base inputs to take instead of plain colours, shape ``(N, *spec.shape)``,
            uint8 for pixels; chosen by the seed when there are more than needed.

    Returns:
        Bases of shape ``(count, *spec.shape)``.

    Raises:
        UsageError: There are too few images, or they do not fit the input.
    """
    label = f"nullprint|{seed}|{spec.domain}"
    if images is not None:
        return _chosen_images(spec, images, label, count)
    bases: list[NDArray[Any]] = []
    for place in range(count):
        bases.append(_unlike(bases, spec, f"{label}|base|{place}"))
    return np.stack(bases)


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


def _unlike(others: list[NDArray[Any]], spec: InputSpec, label: str) -> NDArray[Any]:
    """Draws a base that none of the others equals: two equal ones would count as one witness.

    Grey colours have 256 values, so six of them hold a pair in about 6 % of registries. Inputs
    so narrow that every draw was taken repeat one.
    """
    drawn = base_input(spec, label)
    for draw in range(1, _DRAWS):
        if not any(np.array_equal(drawn, other) for other in others):
            break
        drawn = base_input(spec, f"{label}|{draw}")
    return drawn


def _chosen_images(spec: InputSpec, images: NDArray[Any], label: str, count: int) -> NDArray[Any]:
    wanted = np.uint8 if spec.kind == "pixels" else np.float32
    if images.shape[1:] != spec.shape or images.dtype != wanted:
        raise UsageError(
            f"base images: expected {np.dtype(wanted)} of shape (N, {str(spec.shape)[1:]}, "
            f"got {images.dtype} of shape {images.shape}"
        )
    if len(images) < count:
        raise UsageError(f"base images: expected at least {count}, got {len(images)}")
    order = sorted(
        range(len(images)),
        key=lambda place: hashlib.sha256(label.encode() + images[place].tobytes()).digest(),
    )
    return np.stack([images[place] for place in order[:count]])
