"""The verbs of ``fp``, one file each: parse, call one function, show what came back."""

from __future__ import annotations

__all__: list[str] = []
