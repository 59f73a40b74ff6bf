"""Public inputs: bases, the same for every model of one domain and one registry, and starts."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.probes.bases import ROOM
from fingerprint.solvers.noise import base_input

__all__ = ["chosen_images", "public_bases"]

_DRAWS = 16
_HAIR = 1e-3


def public_bases(spec: InputSpec, seed: str, count: int) -> NDArray[Any]:
    """Derives the plain bases of old fingerprints from the registry's seed and the input domain.

    Args:
        spec: What the network takes; only its domain matters, not its normalisation.
        seed: Registry seed.
        count: Number of bases.

    Returns:
        Bases of shape ``(count, *spec.shape)``.
    """
    label = f"nullprint|{seed}|{spec.domain}"
    bases: list[NDArray[Any]] = []
    for place in range(count):
        bases.append(_unlike(bases, spec, f"{label}|base|{place}"))
    return np.stack(bases)


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


def chosen_images(spec: InputSpec, images: NDArray[Any], seed: str, count: int) -> NDArray[Any]:
    """Chooses base inputs among given ones by the seed, with room for a perturbation.

    Args:
        spec: What the network takes.
        images: Shape ``(N, *spec.shape)``, uint8 for pixels, else float32.
        seed: Registry seed.
        count: Number of bases.

    Returns:
        Shape ``(count, *spec.shape)``: the inputs with their contrast reduced, so that they stay
        ``ROOM`` away from both bounds.

    Raises:
        UsageError: There are too few images, or they do not fit the input.
    """
    wanted = np.uint8 if spec.kind == "pixels" else np.float32
    if images.shape[1:] != spec.shape or images.dtype != wanted:
        raise UsageError(
            f"base images: expected {np.dtype(wanted)} of shape (N, {str(spec.shape)[1:]}, "
            f"got {images.dtype} of shape {images.shape}"
        )
    if len(images) < count:
        raise UsageError(f"base images: expected at least {count}, got {len(images)}")
    label = f"nullprint|{seed}|{spec.domain}".encode()
    order = sorted(
        range(len(images)),
        key=lambda place: hashlib.sha256(label + images[place].tobytes()).digest(),
    )
    chosen = np.stack([images[place] for place in order[:count]])
    low, high = (0, 255) if spec.kind == "pixels" else spec.bounds
    # Floats are rounded wherever they lie; a hair more room keeps a turned δ inside the bounds.
    room = ROOM if spec.kind == "pixels" else ROOM * (1 + _HAIR)
    shrunk = low + room * (high - low) + (1 - 2 * room) * (chosen.astype(np.float64) - low)
    return np.round(shrunk).astype(np.uint8) if spec.kind == "pixels" else shrunk.astype(np.float32)
