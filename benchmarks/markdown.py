"""Numbers and tables as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.detection.metrics import Estimate

__all__ = ["cell", "decimal", "listing", "percent", "table"]


def decimal(value: float | None, digits: int = 2) -> str:
    """Writes a number with so many decimals, or significant digits where it is small."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0 or abs(value) >= 10 ** (1 - digits):
        return f"{value:.{digits}f}"
    return f"{value:#.2g}"


def percent(share: float | None) -> str:
    """Writes a share so that only nothing looks like 0 % and only everything like 100 %."""
    if share is None or not math.isfinite(share):
        return "-"
    value = 100 * share
    if abs(value - round(value)) < 1e-9:
        return f"{value:.0f} %"
    if value < 0.1:
        return f"{value:.1g} %"
    return f"{min(value, 99.9):.1f} %"


def cell(estimate: Estimate) -> str:
    """Writes a rate with its interval, rounded outwards at both ends."""
    if estimate.value is None:
        return "-"
    low = math.floor(100 * estimate.low + 1e-9) / 100
    high = math.ceil(100 * estimate.high - 1e-9) / 100
    value = f"{estimate.value:.2f}"
    if value == "1.00" and estimate.value < 1:
        value = f"{math.floor(1000 * estimate.value) / 1000:.3f}"
    return f"{value} [{low:.2f}, {high:.2f}]"


def listing(names: Iterable[str]) -> str:
    """Writes "a, b and c"; "none" for nothing."""
    *most, last = list(names) or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Writes a Markdown table; cells come from a file, so what would end them is escaped."""
    lines = [list(head), ["---"] * len(head), *([_escaped(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(value: object) -> str:
    text = " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")
