"""What the demo showed: one row for each suspect, and the table people see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cli import render
from fingerprint.text import clean

__all__ = ["DemoResult", "DemoRow", "view"]


@dataclass(frozen=True, kw_only=True)
class DemoRow:
    """One suspect and what was said about it.

    Attributes:
        what: What it is.
        expected: The verdict the method owes.
        verdict: The verdict it gave.
        best: The registered model it was traced to.
        harm_ratio: Against the best candidate.
        harm_ratio_ci: Its confidence interval.
        p_value: Against the best candidate.
        queries: How many inputs the suspect was asked.
        as_expected: Whether verdict and best are the right ones.
    """

    what: str
    expected: str
    verdict: str
    best: str | None
    harm_ratio: float | None
    harm_ratio_ci: tuple[float, float] | None
    p_value: float | None
    queries: int
    as_expected: bool


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo showed.

    Attributes:
        registered: Names of the registered models.
        rows: One for each suspect.
        seconds: Wall-clock time.
        folder: Where the files were kept; None if they were not.
    """

    registered: tuple[str, ...]
    rows: tuple[DemoRow, ...]
    seconds: float
    folder: str | None

    @property
    def as_expected(self) -> bool:
        """Whether every verdict is the right one."""
        return all(row.as_expected for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "schema": 1,
            "registered": list(self.registered),
            "as_expected": self.as_expected,
            "rows": [dict(vars(row)) for row in self.rows],
            "seconds": self.seconds,
            "folder": self.folder,
        }


def view(result: DemoResult) -> RenderableType:
    """Returns the table people are shown."""
    headings = ("suspect", "expected", "verdict", "best", "harm ratio", "p-value", "")
    rows = [
        (
            row.what,
            row.expected,
            render.verdict(row.verdict),
            row.best or "-",
            render.interval(row.harm_ratio, row.harm_ratio_ci),
            render.p_value(row.p_value),
            "" if row.as_expected else "UNEXPECTED",
        )
        for row in result.rows
    ]
    right = sum(row.as_expected for row in result.rows)
    end = f"{right} of {len(result.rows)} verdicts as expected, {result.seconds:.0f} s"
    if result.folder is not None:
        end += f"; files kept in {clean(result.folder, 500)}"
    title = f"Registered: {', '.join(result.registered)}. Whose are these?"
    return Group(Text(title), render.table(headings, rows), Text(end))
