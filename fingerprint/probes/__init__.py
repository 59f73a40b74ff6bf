"""Probes: what a registered model is recognised by, and how they are found and stored."""

from __future__ import annotations

from fingerprint.probes.extraction import extract
from fingerprint.probes.probe import BaseSet, Fingerprint, Probe, SpaceFacts

__all__ = ["BaseSet", "Fingerprint", "Probe", "SpaceFacts", "extract"]
