"""The paper's theory: each of its statements, once, as a call; ``docs/theory.md`` lists them.

from fingerprint.theory import harmless_set

found = harmless_set(nn.MaxPool2d(2), z)
found.contains(delta), found.sample(generator), found.free

Nothing here is run to register or to verify: the solvers have their own arithmetic. Inspecting
a network counts dimensions with it, and decomposing a perturbation rests on Theorems 3 to 5.
"""

from __future__ import annotations

from fingerprint.theory.decomposition import Decomposition, decompose, equivalent
from fingerprint.theory.definition import first_unnoticed, is_harmless
from fingerprint.theory.depth import growth
from fingerprint.theory.harmless_set import HarmlessSet
from fingerprint.theory.layers import harmless_set, set_of_call
from fingerprint.theory.two_layer import PulledBack, two_layer

__all__ = [
    "Decomposition",
    "HarmlessSet",
    "PulledBack",
    "decompose",
    "equivalent",
    "first_unnoticed",
    "growth",
    "harmless_set",
    "is_harmless",
    "set_of_call",
    "two_layer",
]
