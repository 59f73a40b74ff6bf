"""What may be added to an input without being noticed: by the first layers, or by all of them."""

from __future__ import annotations

from fingerprint.perturbations.adversarial import Adversarial, adversarial
from fingerprint.perturbations.decomposition import Decomposition, decompose, equivalent
from fingerprint.perturbations.definition import is_harmless
from fingerprint.perturbations.depth import first_unnoticed, growth, local_dimension
from fingerprint.perturbations.effect import Effect, effects
from fingerprint.perturbations.equivalence import Family, family
from fingerprint.perturbations.first_layers import LinearSpace, linear_space
from fingerprint.perturbations.joint import approach_jointly
from fingerprint.perturbations.linear import solve_linear
from fingerprint.perturbations.network import solve_network
from fingerprint.perturbations.nonlinear import HarmlessSet, PulledBack, harmless_set, two_layer
from fingerprint.perturbations.objective import centred
from fingerprint.perturbations.solution import Solution
from fingerprint.perturbations.splitting import Split, precise, split

__all__ = [
    "Adversarial",
    "Decomposition",
    "Effect",
    "Family",
    "HarmlessSet",
    "LinearSpace",
    "PulledBack",
    "Solution",
    "Split",
    "adversarial",
    "approach_jointly",
    "centred",
    "decompose",
    "effects",
    "equivalent",
    "family",
    "first_unnoticed",
    "growth",
    "harmless_set",
    "is_harmless",
    "linear_space",
    "local_dimension",
    "precise",
    "solve_linear",
    "solve_network",
    "split",
    "two_layer",
]
