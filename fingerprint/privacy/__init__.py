"""Images that people do not recognise and a network answers as before, and what they give away."""

from __future__ import annotations

from fingerprint.privacy.hiding import KEPT_CHANGE, Hidden, hide
from fingerprint.privacy.recovery import GaussianPrior, Recovered, Regression, completed, recover
from fingerprint.privacy.similarity import Similarity, similarities

__all__ = [
    "KEPT_CHANGE",
    "GaussianPrior",
    "Hidden",
    "Recovered",
    "Regression",
    "Similarity",
    "completed",
    "hide",
    "recover",
    "similarities",
]
