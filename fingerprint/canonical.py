"""How plain values become text: one canonical JSON, so that equal values have equal hashes.

Numbers that JSON has no word for are written as the strings ``NaN``, ``Infinity`` and
``-Infinity``: evidence is kept as it was, and every JSON reader can open it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["canonical", "plain", "sha256_of", "utc_now"]


def plain(value: Any) -> Any:
    """Returns ``value`` with only JSON's own types in it: tuples as lists, scalars as numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def canonical(value: Any) -> str:
    """Writes a value as JSON with sorted keys and no spaces."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of(data: bytes | str) -> str:
    """Returns the SHA-256 of bytes, or of a text's UTF-8, in hex."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def utc_now() -> str:
    """Returns the time as ISO 8601 in UTC, such as ``2026-01-31T12:00:00.000000Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
