"""What people are shown of many models: a table, and how many came out how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from cli import render
from fingerprint.text import clean

if TYPE_CHECKING:
    from cli.fleets.jobs import Row

__all__ = ["counts", "duration", "overview"]

_SAID = 160


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Returns how many models came out how, the commonest first."""
    return dict(Counter(row.outcome for row in rows).most_common())


def overview(rows: Sequence[Row], seconds: float) -> RenderableType:
    """Returns a row for each model, and one sentence on all of them."""
    from rich.console import Group

    verdicts = any(_best(row) for row in rows)
    headings = ("model", "outcome", *(("best",) if verdicts else ()), "s", "")
    lines = [
        (
            clean(row.name),
            render.verdict(row.outcome),
            *((clean(_best(row) or "-"),) if verdicts else ()),
            f"{row.seconds:.1f}",
            clean(row.reason, _SAID),
        )
        for row in rows
    ]
    said = ", ".join(f"{count} {clean(outcome)}" for outcome, count in counts(rows).items())
    total = Text(f"{len(rows)} models in {duration(seconds)}: {said}")
    return Group(render.table(headings, lines), total)


def _best(row: Row) -> str | None:
    best = (row.result or {}).get("best")
    return None if best is None else str(best)


def duration(seconds: float) -> str:
    """Returns a time as people say it, such as ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
