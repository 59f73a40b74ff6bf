"""``fp demo``: small networks on real digits, copied, changed and recognised in a minute."""

from __future__ import annotations

__all__: list[str] = []
