"""Probes: what a registered model is recognised by, and how they are found and stored."""

from __future__ import annotations

from fingerprint.probes.extraction import extract
from fingerprint.probes.probe import Fingerprint, Probe, SpaceFacts

__all__ = ["Fingerprint", "Probe", "SpaceFacts", "extract"]
