"""What may be added to an input without being noticed: by the first layers, or by all of them."""

from __future__ import annotations

from fingerprint.perturbations.decomposition import Decomposition, decompose
from fingerprint.perturbations.effect import Effect, effects
from fingerprint.perturbations.first_layers import LinearSpace, linear_space
from fingerprint.perturbations.joint import approach_jointly
from fingerprint.perturbations.linear import solve_linear
from fingerprint.perturbations.network import solve_network
from fingerprint.perturbations.objective import centred
from fingerprint.perturbations.solution import Solution

__all__ = [
    "Decomposition",
    "Effect",
    "LinearSpace",
    "Solution",
    "approach_jointly",
    "centred",
    "decompose",
    "effects",
    "linear_space",
    "solve_linear",
    "solve_network",
]
