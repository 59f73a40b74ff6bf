"""A network layer by layer: what each layer leaves harmless, and what was not computed."""

from __future__ import annotations

from fingerprint.inspection.facts import Inspection, LayerFacts, SegmentFacts
from fingerprint.inspection.inspection import inspect

__all__ = ["Inspection", "LayerFacts", "SegmentFacts", "inspect"]
