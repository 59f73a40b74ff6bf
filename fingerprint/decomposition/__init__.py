"""What of a perturbation does a network notice? Split, measured, and drawn again at other sizes.

from fingerprint.decomposition import Decomposer

Decomposer.of(model, norms=(4.0,)).decomposed("cat", base, image).pieces

What ``fp decompose`` runs: Theorems 3 to 5 where the first layers have a harmless space, the
whole-network solver elsewhere.
"""

from __future__ import annotations

from fingerprint.decomposition.adversarial import Adversarial, adversarial
from fingerprint.decomposition.equivalence import Family, family
from fingerprint.decomposition.pieces import (
    PARTS,
    Decomposed,
    Decomposer,
    Piece,
    check_different,
)
from fingerprint.decomposition.splitting import Split, precise, split

__all__ = [
    "PARTS",
    "Adversarial",
    "Decomposed",
    "Decomposer",
    "Family",
    "Piece",
    "Split",
    "adversarial",
    "check_different",
    "family",
    "precise",
    "split",
]
