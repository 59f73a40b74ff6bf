"""Who answers: a model at hand, and whatever else can be asked."""

from __future__ import annotations

from fingerprint.suspects.base import Suspect
from fingerprint.suspects.narrowed import Narrowed
from fingerprint.suspects.pytorch import ModelSuspect

__all__ = ["ModelSuspect", "Narrowed", "Suspect"]
