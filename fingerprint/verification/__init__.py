"""Whose is it? Distances, exact tests, margins, and the verdict they add up to."""

from __future__ import annotations

from fingerprint.verification.verification import Candidate, Verdict, Verification
from fingerprint.verification.verify import verify

__all__ = ["Candidate", "Verdict", "Verification", "verify"]
