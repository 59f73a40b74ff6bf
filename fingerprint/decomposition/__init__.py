"""What of a perturbation does a network notice? Split, measured, and drawn again at other sizes.

from fingerprint.decomposition import adversarial, family, precise, split

What ``fp decompose`` runs: Theorems 3 to 5 where the first layers have a harmless space, the
whole-network solver elsewhere.
"""

from __future__ import annotations

from fingerprint.decomposition.adversarial import Adversarial, adversarial
from fingerprint.decomposition.equivalence import Family, family
from fingerprint.decomposition.nearest import nearest_harmless
from fingerprint.decomposition.splitting import Split, precise, split

__all__ = [
    "Adversarial",
    "Family",
    "Split",
    "adversarial",
    "family",
    "nearest_harmless",
    "precise",
    "split",
]
