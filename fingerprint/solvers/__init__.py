"""Perturbations a network does not notice: how they are solved for, and what they do.

from fingerprint.solvers import effects, linear_space, solve_linear, solve_network

linear_space(model).space                                   # of the first layers, any input
solve_network(network, base, start, bounds=(0.0, 1.0))      # of the whole network, one input

What registering, decomposing and hiding run; the statements of the paper that say why are in
:mod:`fingerprint.theory`.
"""

from __future__ import annotations

from fingerprint.solvers.effect import Effect, effects
from fingerprint.solvers.first_layers import LinearSpace, linear_space
from fingerprint.solvers.network import choose_method, solve_network
from fingerprint.solvers.objective import centred
from fingerprint.solvers.projection import BoxProjection, box_projection, solve_linear
from fingerprint.solvers.solution import Solution

__all__ = [
    "BoxProjection",
    "Effect",
    "LinearSpace",
    "Solution",
    "box_projection",
    "centred",
    "choose_method",
    "effects",
    "linear_space",
    "solve_linear",
    "solve_network",
]
