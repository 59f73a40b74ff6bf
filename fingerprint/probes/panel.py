"""The panel: public inputs from the registry's seed, the same for all models, nobody's probes.

::

    inputs = panel_inputs(model.input, seed)     # (96, *shape), 8-bit for pixels
    answers = run(model, inputs)                 # stored, and compared by resemblance

Bytes come from SHAKE-256 over a label and everything after them is whole numbers, so anyone can
derive the panel again in any language. Input i does not depend on how many there are. Every second
input is the negative of the one before it, which shows how nearly linear a model is.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.spec import InputSpec
from fingerprint.solvers.noise import start_noise

__all__ = ["NEGATIVE", "PANEL", "panel_inputs", "panel_kinds", "panel_label"]

PANEL = 96
"""How many inputs a new panel has."""
NEGATIVE = "-negative"
"""Ending of the kind of a negative."""
_MIXTURE = ("binary", "uniform")
"""Fine noise: whatever has shapes, networks that saw the same data arrange alike. Two kinds, for
large networks answer some kind of noise as if it were one picture. ``benchmarks.panel`` compares
them with others."""


@lru_cache(maxsize=4)
def panel_inputs(spec: InputSpec, seed: str, count: int = PANEL) -> NDArray[Any]:
    """Derives the panel of a registry for one kind of input.

    Args:
        spec: What the network takes; only its domain matters, not its normalisation.
        seed: Registry seed.
        count: How many inputs.

    Returns:
        Shape ``(count, *spec.shape)``; uint8 for pixels, float32 in ``spec.bounds`` otherwise.
        Not to be changed: the last few are kept, for each candidate of a registry asks for it.
    """
    dtype = np.uint8 if spec.kind == "pixels" else np.float32
    inputs = np.empty((count, *spec.shape), dtype)
    for place in range(0, count, 2):
        pair = place // 2
        drawn = start_noise(spec, _MIXTURE[pair % len(_MIXTURE)], panel_label(spec, seed, pair))
        inputs[place] = drawn
        if place + 1 < count:
            inputs[place + 1] = _negative(drawn, spec)
    return inputs


def panel_kinds(count: int) -> tuple[str, ...]:
    """Returns the kind of each input of a panel, in turn: inputs are compared within a kind."""
    pairs = ((kind, kind + NEGATIVE) for kind in itertools.cycle(_MIXTURE))
    return tuple(itertools.islice(itertools.chain.from_iterable(pairs), count))


def panel_label(spec: InputSpec, seed: str, place: int) -> str:
    """Returns what one input is derived from: the seed, the domain, and its place among pairs."""
    return f"nullprint|{seed}|{spec.domain}|panel|{place}"


def _negative(drawn: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    if spec.kind == "pixels":
        return 255 - drawn
    low, high = (np.float32(end) for end in spec.bounds)
    turned: NDArray[Any] = np.clip(low + high - drawn, low, high)
    return turned
