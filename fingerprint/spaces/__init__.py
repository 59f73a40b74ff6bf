"""Linear algebra on operators: harmless spaces, how they meet, and how to stay outside.

from fingerprint.spaces import null_space

space = null_space(operator)
space.project(noise)
"""

from __future__ import annotations

from fingerprint.spaces.null_space import null_space
from fingerprint.spaces.subspace import Subspace

__all__ = ["Subspace", "null_space"]
