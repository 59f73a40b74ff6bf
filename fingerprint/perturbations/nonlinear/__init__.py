"""What a layer does not notice at the features it is given, in closed form.

found = harmless_set(nn.MaxPool2d(2), z)
found.contains(delta), found.sample(generator), found.free
"""

from __future__ import annotations

from fingerprint.perturbations.nonlinear.activations import (
    clamping,
    hardswish,
    injective,
    leaky_relu,
    relu,
    shrinking,
    thresholding,
    turning,
)
from fingerprint.perturbations.nonlinear.calls import set_of_call
from fingerprint.perturbations.nonlinear.elementwise import Elementwise
from fingerprint.perturbations.nonlinear.harmless_set import HarmlessSet
from fingerprint.perturbations.nonlinear.layers import harmless_set
from fingerprint.perturbations.nonlinear.linear_set import LinearSet
from fingerprint.perturbations.nonlinear.max_pooling import (
    MaxPooling,
    adaptive_max_pooling,
    max_pooling,
)
from fingerprint.perturbations.nonlinear.row_constants import RowConstants
from fingerprint.perturbations.nonlinear.two_layer import PulledBack, two_layer

__all__ = [
    "Elementwise",
    "HarmlessSet",
    "LinearSet",
    "MaxPooling",
    "PulledBack",
    "RowConstants",
    "adaptive_max_pooling",
    "clamping",
    "hardswish",
    "harmless_set",
    "injective",
    "leaky_relu",
    "max_pooling",
    "relu",
    "set_of_call",
    "shrinking",
    "thresholding",
    "turning",
    "two_layer",
]
